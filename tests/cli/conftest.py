import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from settings import ROOT
from tests.conftest import SECRET
from tests.postgresql import new_database

Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def planner() -> Callable[..., Ran]:
    """Runs the command in a process of its own, as a shell does, until it ends."""

    def run(*arguments: str, **environment: str) -> Ran:
        return subprocess.run(
            [sys.executable, "planner.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "SECRET_KEY": SECRET, "PORT": "0", **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a database that has no table yet."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/a folder/new.sqlite3"
        return
    server, name = os.environ["PLANNER_TEST_POSTGRESQL"], f"planner_cli_{os.getpid()}"
    yield await new_database(server, name)
    connection = await asyncpg.connect(server)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()
