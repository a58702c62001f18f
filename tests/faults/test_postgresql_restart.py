"""PostgreSQL goes away under a running server's load, and comes back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import asyncpg
import pytest

import models
from settings import Settings
from tests.conftest import settings_of
from tests.faults.load import RECOVERS_SECONDS, Load
from tests.faults.postgresql import OwnPostgreSQL
from tests.faults.servers import Watched, within
from tests.pgbouncer import pgbouncer

BEHIND_PGBOUNCER_SECONDS = 8
READERS = 6
STAND_AT_A_LOCK = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[OwnPostgreSQL]:
    with OwnPostgreSQL() as server:
        asyncio.run(models.migrate(settings_of(server.url), lambda name: None))
        yield server


@pytest.fixture
async def database(postgresql: OwnPostgreSQL) -> AsyncIterator[Settings]:
    """Empty, and open in the test."""
    settings = settings_of(postgresql.url)
    await models.open_database(settings)
    await models.User.all().delete()
    yield settings
    await models.close_database()


@pytest.fixture
async def server(database: Settings, tmp_path: Path) -> AsyncIterator[Watched]:
    async with Watched(database, tmp_path).running() as server:
        yield server


@asynccontextmanager
async def all_under_way(url: str) -> AsyncIterator[asyncpg.Connection]:
    """The statements of the whole load stand at a lock. Answers with who holds it."""
    holder, onlooker = await asyncpg.connect(url), await asyncpg.connect(url)
    await holder.execute("BEGIN; LOCK TABLE events")

    async def all_stand_there() -> bool:
        return bool(await onlooker.fetchval(f"SELECT count(*) > {READERS} {STAND_AT_A_LOCK}"))

    try:
        await within(RECOVERS_SECONDS, all_stand_there)
        yield holder
    finally:
        holder.terminate()
        onlooker.terminate()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_it_goes_on_by_itself_and_says_the_truth(
    postgresql: OwnPostgreSQL, database: Settings, server: Watched, mode: str
) -> None:
    async with server.http(timeout=20) as http:
        load = await Load.of(database, http, writers=4, readers=READERS)
        async with load.running():
            async with all_under_way(postgresql.url):
                await asyncio.to_thread(postgresql.stop, mode)
            await server.becomes("unavailable", RECOVERS_SECONDS)
            await load.reaches(20)
            await asyncio.to_thread(postgresql.start)
            await load.goes_well(RECOVERS_SECONDS)
            recovered = perf_counter()
            await server.becomes("ok", RECOVERS_SECONDS)
            await load.reaches(100)

    assert set(load.codes(since=recovered)) == {None}  # recovered is recovered
    assert load.codes()["UNAVAILABLE"] > 0
    assert (await server.metrics()).value("planner_database_troubles_total", why="unreachable") > 0
    told_truly(load, writers=10)
    assert load.slowest < server.settings.database_wait_seconds + 2
    assert await server.errors() == load.errors
    assert await load.faults() == []


async def test_a_read_whose_connection_ends_is_asked_once_more(
    postgresql: OwnPostgreSQL, database: Settings, server: Watched
) -> None:
    async with server.http(timeout=20) as http:
        load = await Load.of(database, http, writers=4, readers=READERS)
        async with load.running():
            async with all_under_way(postgresql.url) as holder:
                await holder.execute(f"SELECT pg_terminate_backend(pid) {STAND_AT_A_LOCK}")
            await load.goes_well(RECOVERS_SECONDS)
            assert await server.health() == "ok"

    assert set(load.codes("read")) == {None}
    assert sum(load.errors.values()) > 0  # the writes that were under way
    told_truly(load, writers=10)
    assert await server.errors() == load.errors
    assert await load.faults() == []


async def test_behind_pgbouncer_too_it_is_over_soon(
    postgresql: OwnPostgreSQL, database: Settings, tmp_path: Path
) -> None:
    """With the settings of docs/operations.md; by its own, PgBouncer waits 15 s before it connects again."""
    async with pgbouncer(postgresql.url, tmp_path) as address:
        settings = database.model_copy(update={"database_url": address})
        async with (
            Watched(settings, tmp_path, DATABASE_STATEMENT_CACHE="0").running() as server,
            server.http(timeout=20) as http,
        ):
            load = await Load.of(database, http, writers=2, guests=3)
            async with load.running():
                await asyncio.to_thread(postgresql.stop, "fast")
                await server.becomes("unavailable", BEHIND_PGBOUNCER_SECONDS)
                await asyncio.to_thread(postgresql.start)
                await load.goes_well(BEHIND_PGBOUNCER_SECONDS)
                await server.becomes("ok", RECOVERS_SECONDS)
            assert await server.errors() == load.errors

    assert load.slowest < settings.database_wait_seconds + 2
    assert await load.faults() == []


def told_truly(load: Load, writers: int) -> None:
    assert set(load.codes("read")) <= {None, "UNAVAILABLE"}
    # Where the connection ended with the one statement of a write under way, or with its COMMIT, nobody knows whether
    # it was done. So that is INTERNAL: at most one a writer.
    assert set(load.codes()) <= {None, "UNAVAILABLE", "INTERNAL"}
    assert load.codes()["INTERNAL"] <= writers
