"""PostgreSQL answers late, or not at all and without a word: every wait has its end, and what is told is true."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.events import Created
from tests.faults.proxy import Proxy
from tests.faults.servers import Watched, within
from tests.journeys.test_seats_history import people
from tests.people import Person

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
WAIT_SECONDS, STATEMENT_SECONDS = 1, 2
LIST = "{ events(first: 5) { totalCount nodes { title creator { username } } } }"
LATE = 0.1  # each answer of PostgreSQL's, and a write has several


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    async with Proxy(settings.database_url).open() as opened:
        yield opened


@pytest.fixture
async def server(make_watched: MakeWatched, proxy: Proxy) -> Watched:
    watched = make_watched(
        DATABASE_URL=proxy.url,
        DATABASE_POOL_SIZE="4",
        DATABASE_WAIT_SECONDS=str(WAIT_SECONDS),
        DATABASE_STATEMENT_SECONDS=str(STATEMENT_SECONDS),
    )
    await watched.start()
    return watched


class Load:
    """People who read and write all the while."""

    def __init__(self, created: Created) -> None:
        self.created, self.reads, self.retry_after = created, list[str | None](), set[int]()
        self.slowest = 0.0
        self.is_over = False

    async def reads_on(self, person: Person) -> None:
        while not self.is_over:
            begun = time.perf_counter()
            answer = await person.asks(LIST)
            self.slowest = max(self.slowest, time.perf_counter() - begun)
            self.reads.append(answer.errors[0]["extensions"]["code"] if answer.errors else None)
            self.retry_after |= {error["extensions"].get("retryAfter") for error in answer.errors}

    async def writes_on(self, person: Person) -> None:
        number = 0
        while not self.is_over:
            number += 1
            begun = time.perf_counter()
            await self.created.asks(person, f"{person.username} {number}")
            self.slowest = max(self.slowest, time.perf_counter() - begun)


async def test_late_answers_make_it_slow_and_nothing_else(server: Watched, proxy: Proxy, database: Settings) -> None:
    async with server.http() as http:
        writers, load = await people(database, 2, http), Load(Created())
        proxy.seconds = LATE
        busy = [asyncio.ensure_future(load.writes_on(person)) for person in writers]
        busy += [asyncio.ensure_future(load.reads_on(writers[0])) for _ in range(2)]
        await asyncio.sleep(3)
        load.is_over = True
        await asyncio.gather(*busy)
        assert await server.is_ready()

    assert set(load.created.codes()) == set(load.reads) == {None}
    assert load.slowest > LATE
    assert await load.created.faults() == []


async def test_silence_has_an_end_and_what_was_told_is_true(server: Watched, proxy: Proxy, database: Settings) -> None:
    async with server.http(timeout=30) as http:
        writers, load = await people(database, 6, http), Load(Created())
        busy = [asyncio.ensure_future(load.writes_on(person)) for person in writers]
        busy += [asyncio.ensure_future(load.reads_on(writers[0])) for _ in range(4)]
        await asyncio.sleep(1)
        proxy.stalls()
        await asyncio.sleep(0.2)
        while_silent = await http.get("/health/ready")
        await asyncio.sleep(4)
        proxy.recovers()
        await within(10, server.is_ready)
        await asyncio.sleep(1)
        load.is_over = True
        async with asyncio.timeout(20):
            await asyncio.gather(*busy)

    assert while_silent.status_code == 503
    assert "retry-after" in while_silent.headers
    # A wait for a connection, the statement's time with its grace, and once more where a read is asked again.
    assert load.slowest < 2 * (WAIT_SECONDS + STATEMENT_SECONDS + 1) + 1
    assert set(load.reads) == {None, "UNAVAILABLE"}
    assert load.retry_after == {1}
    assert set(load.created.codes()) <= {None, "UNAVAILABLE", "INTERNAL"}
    assert load.reads[-1] is None
    assert await load.created.faults() == []
