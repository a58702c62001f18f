"""A read replica that lags, that is silent, that stops: nobody misses what they wrote themselves, or is answered with
what is older than it may be."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

import models
from models.replica import STALE_SECONDS
from settings import Settings
from tests.conftest import settings_of
from tests.faults.postgresql import OwnPostgreSQL
from tests.faults.proxy import Proxy
from tests.faults.servers import Watched, within
from tests.journeys.test_replicas import socket_to
from tests.people import Person
from tests.redis import RedisServer

TITLES = "{ events(first: 100) { nodes { title } } }"
READERS = 8
LONG_AGO = timedelta(minutes=5)  # a token that is younger is answered by the primary in any case


@pytest.fixture(scope="module")
def primary() -> Iterator[OwnPostgreSQL]:
    with OwnPostgreSQL() as server:
        asyncio.run(models.migrate(settings_of(server.url), lambda name: None))
        yield server


@pytest.fixture(scope="module")
def replica(primary: OwnPostgreSQL) -> Iterator[OwnPostgreSQL]:
    with OwnPostgreSQL(follows=primary) as server:
        yield server


@pytest.fixture
async def lag(replica: OwnPostgreSQL) -> AsyncIterator["Lag"]:
    lag = Lag(replica.url)
    yield lag
    await lag.ends()


class Lag:
    """The replica receives what is written, and does not show it."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def begins(self) -> None:
        await says(self._url, "SELECT pg_wal_replay_pause()")

    async def ends(self) -> None:
        await says(self._url, "SELECT pg_wal_replay_resume()")


async def says(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


class Town:
    """Servers that share a primary, and each have a client."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._stack = AsyncExitStack()

    async def opens(self, *, is_asked: bool = True, **environment: str) -> "Place":
        server = Watched(self._settings, self._folder, ADDRESS_SIGNUPS_PER_HOUR="1000", **environment)
        self._stack.callback(server.kill)
        await server.start()
        place = Place(server, await self._stack.enter_async_context(server.http()))
        await within(10, place.asks_the_replica if is_asked else place.is_degraded)
        return place

    async def settles(self, place: "Place", name: str) -> Person:
        """Somebody who signed up a while ago."""
        person = Person(place.http, name)
        assert (await person.signs_up()).code is None
        person.token = await place.server.token_of(person.email, age=LONG_AGO)
        await within(5, partial(place.knows, person))
        return person

    async def closes(self) -> None:
        await self._stack.aclose()


class Place:
    def __init__(self, server: Watched, http: httpx.AsyncClient) -> None:
        self.server, self.http = server, http

    async def asks_the_replica(self) -> bool:
        return await self._status() == "ok"

    async def is_degraded(self) -> bool:
        return await self._status() == "degraded"

    async def _status(self) -> str:
        return str((await self.http.get("/health/ready")).json()["status"])

    async def knows(self, person: Person, asking: Person | None = None) -> bool:
        who = asking or Person(self.http)
        asked = await who.asks("query ($name: String!) { user(username: $name) { id } }", name=person.username)
        return asked.data["user"] is not None

    async def titles(self, who: Person | None = None, *, fresh: bool = False) -> set[str]:
        """Those of all events, for somebody or anybody."""
        headers = {"authorization": f"Bearer {who.token}"} if who else {}
        if fresh:
            headers["cache-control"] = "no-cache"
        answer = await self.http.post("/graphql", json={"query": TITLES}, headers=headers)
        return {node["title"] for node in answer.json()["data"]["events"]["nodes"]}

    async def shows(self, title: str, who: Person | None = None) -> bool:
        return title in await self.titles(who)


@pytest.fixture
async def town(primary: OwnPostgreSQL, tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(settings_of(primary.url), tmp_path)
    yield town
    await town.closes()


async def test_who_has_written_reads_it_in_every_process_and_others_soon(
    town: Town, replica: OwnPostgreSQL, redis: RedisServer, lag: Lag
) -> None:
    one, other = [await town.opens(DATABASE_READ_URL=replica.url, REDIS_URL=redis.url) for _ in range(2)]
    ana, ben = await town.settles(one, "ana"), await town.settles(one, "ben")
    await lag.begins()
    await ana.creates_event(title="A walk")

    for place in (one, other):
        assert "A walk" in await place.titles(ana)
        assert "A walk" not in await place.titles(ben)
        assert "A walk" not in await place.titles()
        assert "A walk" in await place.titles(fresh=True)
    await lag.ends()
    for place in (one, other):
        await within(2, partial(place.shows, "A walk"))


async def test_who_has_just_signed_up_is_there(town: Town, replica: OwnPostgreSQL, lag: Lag) -> None:
    place = await town.opens(DATABASE_READ_URL=replica.url)
    await lag.begins()
    ida = Person(place.http, "ida")
    await ida.signs_up()

    assert await place.knows(ida, asking=ida)
    assert not await place.knows(ida)


async def test_a_session_that_ended_is_over_at_once(
    town: Town, primary: OwnPostgreSQL, replica: OwnPostgreSQL, lag: Lag
) -> None:
    place = await town.opens(DATABASE_READ_URL=replica.url)
    cleo = await town.settles(place, "cleo")
    await lag.begins()
    await says(primary.url, "DELETE FROM sessions")  # an operator, of whom no server knows

    assert (await cleo.asks("{ me { id } }")).data == {"me": None}


async def test_who_hears_of_changes_reads_what_was_told(town: Town, replica: OwnPostgreSQL, lag: Lag) -> None:
    place = await town.opens(DATABASE_READ_URL=replica.url)
    gus = await town.settles(place, "gus")
    await lag.begins()
    await gus.creates_event(title="A climb")

    async with socket_to(place.server.url) as socket:
        await socket.asks(TITLES)
        assert {"title": "A climb"} in (await socket.data())["events"]["nodes"]


def at(instant: str) -> dict[str, str]:
    return {"startsAt": instant, "timeZone": "UTC"}


async def test_a_calendar_shows_its_owner_what_was_just_written(town: Town, replica: OwnPostgreSQL, lag: Lag) -> None:
    place = await town.opens(DATABASE_READ_URL=replica.url)
    hal = await town.settles(place, "hal")
    await hal.creates_event(title="An early event", tags=["hills"], **at("2027-05-01T10:00:00Z"))
    urls = await hal.asks('{ me { calendarUrl } events(filter: { tagsAny: ["hills"] }) { icsUrl } }')
    await within(2, partial(place.shows, "An early event"))
    await lag.begins()
    await hal.creates_event(title="A late event", tags=["hills"], **at("2027-05-02T10:00:00Z"))
    own, public = [
        (await place.http.get(url)).text for url in (urls.data["me"]["calendarUrl"], urls.data["events"]["icsUrl"])
    ]

    assert "A late event" in own
    assert "An early event" in public
    assert "A late event" not in public


async def test_without_redis_whoever_wrote_waits_until_all_can_read_it(
    town: Town, replica: OwnPostgreSQL, redis: RedisServer, lag: Lag
) -> None:
    one, other = [await town.opens(DATABASE_READ_URL=replica.url, REDIS_URL=redis.url) for _ in range(2)]
    dora = await town.settles(one, "dora")
    redis.stop()
    await lag.begins()
    writing = asyncio.create_task(dora.creates_event(title="A run"))
    await within(5, partial(one.shows, "A run", dora))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.shield(writing)
    await lag.ends()
    await writing
    await redis.start()
    await within(10, other.asks_the_replica)
    assert "A run" in await other.titles(dora)


async def test_one_that_is_too_far_behind_is_not_asked(town: Town, replica: OwnPostgreSQL, lag: Lag) -> None:
    place = await town.opens(DATABASE_READ_URL=replica.url)
    emil = await town.settles(place, "emil")
    await lag.begins()
    await emil.creates_event(title="A swim")
    assert not await place.shows("A swim")

    behind = await within(STALE_SECONDS + 1, partial(place.shows, "A swim"))
    assert behind > STALE_SECONDS - 1
    assert await place.is_degraded()
    await lag.ends()
    await within(2, place.asks_the_replica)


@asynccontextmanager
async def asked_all_the_while(place: Place) -> AsyncIterator[list[float]]:
    """Readers, none of whom may be refused: how long each answer took."""
    took, is_over = list[float](), asyncio.Event()

    async def read() -> None:
        loop = asyncio.get_running_loop()
        while not is_over.is_set():
            begun = loop.time()
            assert await place.titles() is not None
            took.append(loop.time() - begun)

    readers = [asyncio.create_task(read()) for _ in range(READERS)]
    yield took
    is_over.set()
    await asyncio.gather(*readers)


async def test_one_that_stops_is_noticed_by_nobody_who_reads(town: Town, replica: OwnPostgreSQL) -> None:
    place = await town.opens(DATABASE_READ_URL=replica.url)
    async with asked_all_the_while(place) as took:
        for mode in ("fast", "immediate"):
            replica.stop(mode)
            await within(3, place.is_degraded)
            replica.start()
            await within(10, place.asks_the_replica)
    assert max(took) < 4


async def has_grown(found: list[float], most: int) -> bool:
    return len(found) > most


async def test_one_that_is_silent_keeps_nobody_waiting_for_long(town: Town, replica: OwnPostgreSQL) -> None:
    async with Proxy(replica.url).open() as way:
        place = await town.opens(DATABASE_READ_URL=way.url)
        async with asked_all_the_while(place) as took:
            await within(5, partial(has_grown, took, READERS))
            way.stalls()
            await within(5, place.is_degraded)
            answered = len(took)
            await within(4, partial(has_grown, took, answered + READERS))
            way.recovers()
            await within(10, place.asks_the_replica)
    assert 1 < max(took) < 6  # 2 s, and what a busy machine adds


async def test_a_server_that_follows_nobody_is_not_asked(town: Town, primary: OwnPostgreSQL) -> None:
    place = await town.opens(DATABASE_READ_URL=primary.url, is_asked=False)
    fay = await town.settles(place, "fay")
    await fay.creates_event(title="A ride")

    assert await place.shows("A ride")
    assert await place.is_degraded()
    assert "it follows no server" in place.server.log.read_text()
