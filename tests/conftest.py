"""Every test that touches storage runs on SQLite and on PostgreSQL: it asks for `settings`, `app` or a person."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from tortoise.backends.base.executor import EXECUTOR_CACHE

import models
from app import create_app
from auth import Accounts
from settings import ROOT, Settings
from tests.executor.replay import Replay
from tests.people import Person
from tests.postgresql import drop_database, find_server, new_database
from tests.redis import RedisServer

SECRET = "a secret for tests, of more than 32 bytes"
_outcomes: Counter[str] = Counter()


def pytest_xdist_auto_num_workers() -> int:
    cores = os.cpu_count() or 1
    return max(cores, min(2 * cores, 8))  # a third of their time, tests wait for servers that start, stop or recover


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # once, also where xdist runs several workers
        url, where, stop = find_server()
        os.environ["PLANNER_TEST_POSTGRESQL"] = url
        config.stash[_SERVER] = where
        config.add_cleanup(stop)


_SERVER = pytest.StashKey[str]()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.skipped or (report.failed and report.when == "setup"):
        database = next(
            (name for name in ("sqlite", "postgresql") if name in report.nodeid.partition("[")[2]), "no database"
        )
        _outcomes[f"{database} {report.outcome}"] += 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counted = ", ".join(f"{kind}: {number}" for kind, number in sorted(_outcomes.items()))
    terminalreporter.write_line(f"What ran where: {counted}. PostgreSQL from {config.stash[_SERVER]}.")


@pytest.fixture(scope="session")
def _worker(request: pytest.FixtureRequest) -> str:
    return str(getattr(request.config, "workerinput", {"workerid": "main"})["workerid"])


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory, _worker: str) -> dict[str, Settings]:
    file = tmp_path_factory.mktemp("template") / "planner.sqlite3"
    server = os.environ["PLANNER_TEST_POSTGRESQL"]
    url = asyncio.run(new_database(server, f"planner_test_{os.getpid()}_{_worker}"))
    templates = {"sqlite": settings_of(f"sqlite://{file}"), "postgresql": settings_of(url)}
    for settings in templates.values():
        asyncio.run(models.migrate(settings, lambda name: None))
    return templates


@pytest.fixture(scope="session", autouse=True)
def _drop_database(_worker: str) -> Iterator[None]:
    yield
    asyncio.run(drop_database(os.environ["PLANNER_TEST_POSTGRESQL"], f"planner_test_{os.getpid()}_{_worker}"))


def settings_of(database_url: str, **changes: Any) -> Settings:
    """Settings that read no .env, with a cost of bcrypt that a server would refuse and that makes the suite quick."""
    settings = Settings(_env_file=None, secret_key=SECRET, database_url=database_url)
    return settings.model_copy(update={"bcrypt_cost": 4, **changes})


@pytest.fixture(autouse=True)
def _forget_the_other_database() -> None:
    EXECUTOR_CACHE.clear()  # Tortoise keeps INSERTs by the connection's name, which both databases share here


@pytest.fixture(params=["sqlite", "postgresql"])
async def settings(request: pytest.FixtureRequest, migrated: dict[str, Settings], tmp_path: Path) -> Settings:
    """Settings with an empty, migrated database."""
    template = migrated[request.param]
    if request.param == "sqlite":
        file = tmp_path / "planner.sqlite3"
        shutil.copy(template.database_url.removeprefix("sqlite://"), file)
        return template.model_copy(update={"database_url": f"sqlite://{file}"})
    connection = await asyncpg.connect(template.database_url)
    has_few = await connection.fetchval("SELECT count(*) < 1000 FROM (SELECT FROM events LIMIT 1000) found")
    # Everything hangs on users. To make the files of all tables and indexes anew takes 20 times as long as to delete
    # the rows of most tests.
    await connection.execute("DELETE FROM users" if has_few else "TRUNCATE users CASCADE")
    await connection.close()
    return template


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Settings]:
    """The same, open in this test."""
    await models.open_database(settings)
    yield settings
    await models.close_database()


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    server.stop()


@pytest.fixture
async def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    """The application. What is asked of it has to be answered as graphql-core answers it: see Replay."""
    replay = Replay()
    replay.listen(monkeypatch)
    made = create_app(settings)
    async with made.router.lifespan_context(made):
        yield made
        await replay.compare()


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://planner.test") as client:
        yield client


@pytest.fixture
def anybody(http: httpx.AsyncClient) -> Person:
    return Person(http)


@pytest.fixture
async def ana(http: httpx.AsyncClient) -> Person:
    person = Person(http, "ana")
    await person.signs_up()
    return person


@pytest.fixture
async def ben(http: httpx.AsyncClient) -> Person:
    person = Person(http, "ben")
    await person.signs_up()
    return person


class Server:
    """A real server in a process of its own, as `planner serve` starts it."""

    root = ROOT  # of the checkout that it runs from

    def __init__(self, settings: Settings, folder: Path, **environment: str) -> None:
        self.settings = settings
        self.log = folder / f"server-{os.urandom(4).hex()}.log"
        self._environment = {
            **os.environ,
            "SECRET_KEY": settings.secret_key,
            "DATABASE_URL": settings.database_url,
            "BCRYPT_COST": "10",
            "PORT": "0",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    async def start(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                [sys.executable, "planner.py", "serve"], cwd=self.root, env=self._environment, stdout=log, stderr=log
            )
        async with asyncio.timeout(30):
            while True:
                found = re.search(r"http://[\d.]+:\d+", self.log.read_text())
                if found:
                    with suppress(httpx.TransportError):
                        async with httpx.AsyncClient() as client:
                            await client.get(f"{found[0]}/health/live")
                        self.url = found[0]
                        return
                assert self._process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def stop(self, signal: int) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        self._process.send_signal(signal)
        return await asyncio.to_thread(self._process.wait, 15)

    async def token_of(self, email: str, *, age: timedelta) -> str:
        """A token that the account got so long ago."""
        await models.open_database(self.settings)
        try:
            user = await models.User.get(email=email)
            _, tokens = await Accounts(self.settings).sessions.start(user.id, datetime.now(UTC) - age)
        finally:
            await models.close_database()
        return tokens.access_token

    def kill(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
async def make_server(settings: Settings, tmp_path: Path) -> AsyncIterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(**environment: str) -> Server:
        made.append(Server(settings, tmp_path, **environment))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture
async def live_server(migrated: dict[str, Settings], tmp_path: Path) -> AsyncIterator[Server]:
    """A running server on SQLite."""
    file = tmp_path / "live.sqlite3"
    shutil.copy(migrated["sqlite"].database_url.removeprefix("sqlite://"), file)
    server = Server(migrated["sqlite"].model_copy(update={"database_url": f"sqlite://{file}"}), tmp_path)
    await server.start()
    yield server
    server.kill()
