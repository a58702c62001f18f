import asyncio
import os
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from tortoise import Tortoise

import models
from app import create_app
from settings import Settings
from tests.conftest import settings_of
from tests.people import Person
from tests.postgresql import drop_database, new_database
from tests.sockets import until
from web.health import DatabaseWatch
from web.metrics import Metrics


@pytest.fixture
async def lost(settings: Settings) -> AsyncIterator[Settings]:
    """Settings with a database of its own, which a test may spoil."""
    if settings.database_url.startswith("sqlite"):
        yield settings
        return
    server, name = os.environ["PLANNER_TEST_POSTGRESQL"], f"planner_health_{os.getpid()}"
    own = settings_of(await new_database(server, name))
    await models.migrate(own, lambda name: None)
    yield own
    await drop_database(server, name)


async def spoil(settings: Settings) -> None:
    """Takes the database away under the running server."""
    if settings.database_url.startswith("sqlite"):
        # SQLite holds its file open, and what it has read of it in memory: as after a restart of the connection.
        await Tortoise.get_connection("default").close()
        file = settings.database_url.removeprefix("sqlite://")
        with open(file, "wb") as garbage:  # noqa: ASYNC230 - a moment
            garbage.write(b"a shopping list: eggs, flour, " * 1_000)
        return
    name = settings.database_url.rpartition("/")[2]
    await drop_database(os.environ["PLANNER_TEST_POSTGRESQL"], name)


async def test_it_is_ready_while_the_database_answers(lost: Settings, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(lost)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://planner.test") as http,
    ):
        before = await http.get("/health/ready")
        await spoil(lost)
        after = await http.get("/health/ready")
        alive = await http.get("/health/live")
        asked_by_head = [(await http.head(f"/health/{name}")).status_code for name in ("live", "ready")]

    assert (before.status_code, before.json()) == (200, {"status": "ok"})
    assert (after.status_code, after.json()) == (503, {"status": "unavailable"})
    assert after.headers["retry-after"] == "1"
    assert "not ready: the database does not answer" in caplog.text
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert asked_by_head == [200, 503]


async def test_metrics_tell_whether_the_database_answers(lost: Settings) -> None:
    app, metrics = create_app(lost), Metrics()
    asked: list[None] = []

    async def ask() -> None:
        await models.ask_database()
        asked.append(None)

    def told() -> float | None:
        return metrics.registry.get_sample_value("planner_database_answers")

    metrics.watch_database(DatabaseWatch(ask, seconds=0.2))
    async with app.router.lifespan_context(app), metrics.served("127.0.0.1", 9464):
        await until(lambda: len(asked) >= 2)
        assert told() == 1
        await spoil(lost)
        await until(lambda: told() == 0)


async def test_a_database_that_is_silent_does_not_answer_until_it_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    is_silent, asked = True, 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if is_silent:
            await asyncio.Event().wait()

    database = DatabaseWatch(ask, seconds=0.02)
    watching = asyncio.create_task(database.watch())
    await until(lambda: not database.answers and asked >= 3)
    is_silent = False
    await until(lambda: database.answers)
    watching.cancel()

    assert caplog.messages == ["the database does not answer", "the database answers again"]


@pytest.fixture
async def read_only(ana: Person, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Person]:
    """A person whose database has become read-only."""
    if settings.database_url.startswith("sqlite"):
        await Tortoise.get_connection("default").execute_query("PRAGMA query_only = ON")
        monkeypatch.setattr(os, "access", lambda *_: False)  # whoever is root may write to every file
        yield ana
        return
    connection = await asyncpg.connect(settings.database_url)
    name = settings.database_url.rpartition("/")[2]
    await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", name
    )
    yield ana
    await connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await connection.close()


async def test_it_is_degraded_while_the_database_takes_no_writes(
    read_only: Person, caplog: pytest.LogCaptureFixture
) -> None:
    ready = [await read_only.http.get("/health/ready") for _ in range(3)]
    read, written = await read_only.asks("{ events { totalCount } }"), await read_only.tries_to_create()

    assert [(answer.status_code, answer.json()) for answer in ready] == [(200, {"status": "degraded"})] * 3
    assert (read.code, written.code) == (None, "UNAVAILABLE")
    assert caplog.text.count("cannot be written to: ") == 1
