"""PostgreSQL answers late, or not at all and without a word: every wait has its end, and what is told is true."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.load import RECOVERS_SECONDS, Load
from tests.faults.proxy import Proxy
from tests.faults.servers import Watched
from tests.people import Person

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
CONNECTIONS, WAIT_SECONDS, STATEMENT_SECONDS = 4, 1, 2
# A wait for a connection, and the statement's time with its grace.
LONGEST_SECONDS = WAIT_SECONDS + STATEMENT_SECONDS + 1
LATE = 0.1  # each answer of PostgreSQL's, and a write has several


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    async with Proxy(settings.database_url).open() as opened:
        yield opened


@pytest.fixture
async def server(make_watched: MakeWatched, proxy: Proxy) -> Watched:
    watched = make_watched(
        DATABASE_URL=proxy.url,
        DATABASE_POOL_SIZE=str(CONNECTIONS),
        DATABASE_WAIT_SECONDS=str(WAIT_SECONDS),
        DATABASE_STATEMENT_SECONDS=str(STATEMENT_SECONDS),
    )
    await watched.start()
    return watched


async def test_late_answers_make_it_slow_and_nothing_else(server: Watched, proxy: Proxy, database: Settings) -> None:
    async with server.http() as http:
        load = await Load.of(database, http, writers=1, guests=2, readers=2)
        proxy.seconds = LATE
        async with load.running():
            await load.reaches(20)
            assert await server.health() == "ok"

    assert set(load.codes()) == {None}
    metrics, timed = await server.metrics(), "planner_operation_seconds"
    assert metrics.value(f"{timed}_count") == len(load.answers)
    assert metrics.value(f"{timed}_bucket", le="0.1") == 0
    assert metrics.value("planner_database_waits_total") > 0
    assert await server.errors() == {}
    assert await load.faults() == []


async def test_silence_has_an_end_and_what_was_told_is_true(server: Watched, proxy: Proxy, database: Settings) -> None:
    async with server.http() as http:
        load = await Load.of(database, http, writers=4, guests=4, readers=4)
        async with load.running():
            proxy.stalls()
            await server.becomes("unavailable", LONGEST_SECONDS)
            metrics = await server.metrics()
            refused = await Person(http).asks("{ events { totalCount } }")
            await asyncio.sleep(LONGEST_SECONDS)  # longer than any statement
            proxy.recovers()
            await load.goes_well(RECOVERS_SECONDS)
            await server.becomes("ok", RECOVERS_SECONDS)

    assert metrics.value("planner_database_connections_free") == 0
    assert metrics.value("planner_database_waiting") > 0
    assert refused.errors[0]["extensions"]["retryAfter"] == 1
    assert refused.response.headers["retry-after"] == "1"
    assert load.slowest < 2 * LONGEST_SECONDS + 1  # twice, where a read is asked again
    assert set(load.codes("read")) == {None, "UNAVAILABLE"}
    assert set(load.codes()) <= {None, "UNAVAILABLE", "INTERNAL"}
    assert await server.errors() == load.errors + Counter(["UNAVAILABLE"])
    assert await load.faults() == []
