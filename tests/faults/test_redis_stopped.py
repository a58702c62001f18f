"""Redis is stopped, and later says nothing any more, between two busy servers: requests go on, and who hears of changes
is cut off, comes back, catches up, and misses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from replicas.order import PATIENCE_SECONDS
from replicas.redis import BEAT_SECONDS, REJOIN_SECONDS, SEND_SECONDS, SILENT_BEATS
from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.load import RECOVERS_SECONDS, Load
from tests.faults.servers import Watched, within
from tests.journeys.test_replicas import socket_to
from tests.people import Person
from tests.redis import RedisServer
from tests.sockets import Socket
from web.websocket import TRY_AGAIN_LATER

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
EVENT = "{ id title version confirmedCount waitlistCount }"
CHANGES = f"subscription {{ eventChanged {{ event {EVENT} }} }}"
PAGE = f"query ($after: String) {{ events(first: 100, after: $after) {{ nodes {EVENT} pageInfo {{ endCursor }} }} }}"
COMES_BACK_SECONDS = 0.2
NOTICED_SECONDS = SILENT_BEATS * BEAT_SECONDS + SEND_SECONDS


class Follower:
    """Somebody with a list of all events, kept as it is by what one server tells. Cut off, they ask anew."""

    def __init__(self, server: Watched) -> None:
        self._server = server
        self.events: dict[str, Any] = {}
        self.closed: list[int | None] = []
        self.refused = 0
        self.is_there = False
        self.out_of_order: list[tuple[Any, Any]] = []

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        following = asyncio.ensure_future(self._follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])
        assert following.cancelled(), following.exception()

    async def _follow(self) -> None:
        while True:
            async with socket_to(self._server.url) as socket:
                try:
                    await self._hear(socket)
                except ConnectionClosed as closed:
                    self.closed.append(closed.rcvd.code if closed.rcvd else None)
            self.is_there = False
            await asyncio.sleep(COMES_BACK_SECONDS)

    async def _hear(self, socket: Socket) -> None:
        """Subscribes first, then reads: what is told meanwhile comes after what was read."""
        await socket.asks(CHANGES)
        await socket.asks("{ __typename }")
        message = await socket.hears()
        if message["type"] == "error":
            assert message["payload"][0]["extensions"]["code"] == "UNAVAILABLE"
            self.refused += 1
            return
        await self._catch_up()
        self.is_there = True
        last: dict[str, Any] = {}
        while True:
            payload = message.get("payload") or {}
            if change := payload.get("data", {}).get("eventChanged"):
                event = change["event"]
                if (before := last.get(event["id"])) and abs(came(event) - came(before)) != 1:
                    self.out_of_order.append((before, event))
                self.events[event["id"]] = last[event["id"]] = event
            message = await socket.hears()

    async def _catch_up(self) -> None:
        async with self._server.http() as http:
            async for page in pages(http):
                self.events |= page


async def pages(http: httpx.AsyncClient) -> AsyncIterator[dict[str, Any]]:
    """All events by their ids, newest first."""
    after = None
    while True:
        page = (await Person(http).asks(PAGE, after=after)).data["events"]
        if not page["nodes"]:
            return
        yield {node["id"]: node for node in page["nodes"]}
        after = page["pageInfo"]["endCursor"]


def came(event: Any) -> int:
    """One more with whoever takes a place, one less with whoever gives one up: no other number may come between."""
    return int(event["confirmedCount"] + event["waitlistCount"])


async def test_requests_go_on_and_who_listens_misses_nothing(
    make_watched: MakeWatched, database: Settings, redis: RedisServer
) -> None:
    one, other = servers = [make_watched(REDIS_URL=redis.url) for _ in range(2)]
    await asyncio.gather(*(server.start() for server in servers))
    followers = [Follower(server) for server in (one, one, other, other)]

    async def all_are_there() -> bool:
        return all(follower.is_there for follower in followers)

    async def all_are_refused() -> None:
        """From now on: more than to be cut off, which other causes have too."""
        before = [follower.refused for follower in followers]

        async def holds() -> bool:
            return all(follower.refused > times for follower, times in zip(followers, before, strict=True))

        await within(NOTICED_SECONDS + RECOVERS_SECONDS, holds)

    async def all_become(health: str, seconds: float) -> None:
        await asyncio.gather(*(server.becomes(health, seconds) for server in servers))

    await all_become("ok", RECOVERS_SECONDS)
    async with (
        one.http() as http,
        other.http() as http_of_other,
        followers[0].following(),
        followers[1].following(),
        followers[2].following(),
        followers[3].following(),
    ):
        load = await Load.of(database, http, http_of_other, readers=2)
        async with load.running():
            await within(RECOVERS_SECONDS, all_are_there)

            redis.stop()
            await all_become("degraded", RECOVERS_SECONDS)
            await all_are_refused()
            await load.goes_well()
            await redis.start()
            await all_become("ok", RECOVERS_SECONDS)
            await within(RECOVERS_SECONDS, all_are_there)
            await load.goes_well()

            with redis.halted():
                await all_become("degraded", NOTICED_SECONDS + 1)
                await all_are_refused()
                await load.goes_well()
                assert (await Person(http).signs_up()).code is None  # who asks Redis how often the address did so
            await all_become("ok", REJOIN_SECONDS + RECOVERS_SECONDS)
            await within(RECOVERS_SECONDS, all_are_there)
            await load.goes_well()

        now = {id: event async for page in pages(http) for id, event in page.items()}

        async def all_know() -> bool:
            return all(follower.events == now for follower in followers)

        await within(PATIENCE_SECONDS + RECOVERS_SECONDS, all_know)

    assert set(load.codes()) == {None}
    assert await load.faults() == []
    for follower in followers:
        assert follower.out_of_order == []
        assert set(follower.closed) == {TRY_AGAIN_LATER}
        assert follower.refused > 0
    for server, theirs in zip(servers, (followers[:2], followers[2:]), strict=True):
        metrics = await server.metrics()
        assert metrics.value("planner_changes_missed_total", why="redis") == 2
        assert metrics.value("planner_changes_unsent_total") > 0
        cut = sum(len(follower.closed) for follower in theirs)
        assert metrics.value("planner_subscriptions_fell_behind_total") == cut
        assert await server.errors() == {"UNAVAILABLE": sum(follower.refused for follower in theirs)}
