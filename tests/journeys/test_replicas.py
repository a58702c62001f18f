"""Several servers on one PostgreSQL, and a Redis between them: what each hears of the others, and what is left without
Redis."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

import models
from settings import ROOT, Settings
from tests.conftest import Server
from tests.faults.events import CREATE
from tests.faults.locks import nobody_writes
from tests.people import PASSWORD, Person
from tests.redis import PASSWORD as REDIS_PASSWORD
from tests.redis import RedisServer
from tests.sockets import PATIENCE, Socket, until
from tests.workers import Workers
from web.websocket import PROTOCOL, TRY_AGAIN_LATER

GUESTS = 12
CHANGES = "subscription { eventChanged { kind event { version confirmedCount waitlistCount title } } }"
on_postgresql = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    asyncio.run(server.start())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def servers(
    migrated: dict[str, Settings], redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Server]]:
    """Two, which share what they share, and serve all of these tests: to start is what takes time."""
    folder, limits = tmp_path_factory.mktemp("servers"), {"ADDRESS_SIGNUPS_PER_HOUR": "1000"}
    made = [Server(migrated["postgresql"], folder, REDIS_URL=redis.url, **limits) for _ in range(2)]

    async def start() -> None:
        await asyncio.gather(*(server.start() for server in made))
        await asyncio.gather(*(is_ready(server.url, "ok") for server in made))

    asyncio.run(start())
    yield made
    for server in made:
        server.kill()


@pytest.fixture
async def clients(servers: list[Server], settings: Settings) -> AsyncIterator[list[httpx.AsyncClient]]:
    """One of each server. Their database is empty."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=PATIENCE))
            for server in servers
        ]


async def is_ready(url: str, status: str) -> None:
    """Returns once the server says so of itself."""
    async with httpx.AsyncClient() as client, asyncio.timeout(PATIENCE):
        while (await client.get(f"{url}/health/ready")).json()["status"] != status:  # noqa: ASYNC110 - it is a server
            await asyncio.sleep(0.05)


@asynccontextmanager
async def socket_to(url: str, who: Person | None = None) -> AsyncIterator[Socket]:
    address = url.replace("http://", "ws://") + "/graphql"
    async with connect(address, subprotocols=[Subprotocol(PROTOCOL)]) as connection:
        socket = Socket(connection)
        await socket.initialises({"authorization": f"Bearer {who.token}"} if who else None)
        yield socket


async def subscribes(socket: Socket, query: str = CHANGES) -> None:
    """Returns once it is heard: what the socket is asked next is begun after it."""
    await socket.asks(query)
    await socket.asks("{ __typename }")
    assert await socket.data() == {"__typename": "Query"}
    assert (await socket.hears())["type"] == "complete"
    await asyncio.sleep(0.2)


def elsewhere(person: Person, http: httpx.AsyncClient) -> Person:
    """The same person, who asks another server."""
    other = Person(http, person.username)
    other.token, other.id = person.token, person.id
    return other


@on_postgresql
async def test_each_server_hears_all_that_happens_to_an_event_in_the_order_of_the_commits(
    servers: list[Server], clients: list[httpx.AsyncClient]
) -> None:
    people = [Person(clients[n % 2], f"guest{n}") for n in range(GUESTS + 1)]
    organiser = people[0]
    await asyncio.gather(*(person.signs_up() for person in people))
    event = await organiser.creates_event(capacity=4)
    done = [0]

    async def walks(person: Person, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - no secret
        for turn in range(12):
            there = elsewhere(person, chance.choice(clients))
            if person is organiser:
                answer = await there.updates(event, title=f"The talk {turn}", capacity=chance.choice([3, 4, 5, None]))
                done[0] += answer.code is None
                assert answer.code in {None, "CAPACITY_BELOW_CONFIRMED"}
            else:
                answer = await (there.cancels_rsvp(event) if turn % 2 else there.rsvps(event))
                assert answer.code is None
                done[0] += 1

    async with socket_to(servers[0].url) as one, socket_to(servers[1].url) as other:
        await subscribes(one)
        await subscribes(other)
        await asyncio.gather(*(walks(person, seed) for seed, person in enumerate(people)))
        heard = [[(await socket.change())["event"] for _ in range(done[0])] for socket in (one, other)]

    assert heard[0] == heard[1]
    for before, after in zip(heard[0], heard[0][1:], strict=False):
        people_more = sum(after[count] - before[count] for count in ("confirmedCount", "waitlistCount"))
        assert (after["version"] - before["version"], abs(people_more)) in {(1, 0), (0, 1)}
    now = await organiser.sees(event)
    assert heard[0][-1] == {name: now[name] for name in heard[0][-1]}


@on_postgresql
async def test_a_place_given_by_one_server_is_told_by_the_other(
    servers: list[Server], clients: list[httpx.AsyncClient]
) -> None:
    organiser, ben = Person(clients[0], "ana"), Person(clients[0], "ben")
    await organiser.signs_up()
    await ben.signs_up()
    event = await organiser.creates_event(capacity=1, startsAt="2030-05-01T18:00:00Z", timeZone="UTC")
    await organiser.rsvps(event)
    await ben.rsvps(event)
    async with socket_to(servers[1].url, ben) as socket, socket_to(servers[1].url, ben) as attending:
        await subscribes(socket, "subscription { myRsvpChanged { status event { startsAt } } }")
        await subscribes(attending, "subscription { eventChanged(filter: {mine: ATTENDING}) { kind } }")
        await organiser.cancels_rsvp(event)

        told = await socket.data()
        assert told["myRsvpChanged"] == {"status": "CONFIRMED", "event": {"startsAt": "2030-05-01T18:00:00Z"}}
        assert await attending.change() == {"kind": "UPDATED"}


@on_postgresql
async def test_who_signs_out_at_one_server_is_signed_out_at_the_other(clients: list[httpx.AsyncClient]) -> None:
    ana = Person(clients[0], "ana")
    await ana.signs_up()
    there = elsewhere(ana, clients[1])
    assert (await there.tries_to_create()).code is None

    await ana.asks("mutation { signout { sessionsEnded } }")

    assert (await there.tries_to_create()).code == "TOKEN_REVOKED"


@on_postgresql
async def test_wrong_passwords_are_counted_by_the_servers_together(clients: list[httpx.AsyncClient]) -> None:
    ana = Person(clients[0])
    await ana.signs_up()

    codes = [(await elsewhere(ana, clients[n % 2]).signs_in(password=f"{PASSWORD}{n}")).code for n in range(7)]

    assert codes == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"] * 2


@on_postgresql
async def test_without_redis_all_goes_on_but_subscriptions_and_with_it_they_do_too(
    servers: list[Server], clients: list[httpx.AsyncClient], redis: RedisServer
) -> None:
    ana = Person(clients[0])
    await ana.signs_up()
    async with socket_to(servers[1].url) as socket:
        await subscribes(socket)
        redis.stop()
        assert (await socket.is_closed())[0] == TRY_AGAIN_LATER
    await is_ready(servers[1].url, "degraded")

    event = await ana.creates_event()
    assert (await elsewhere(ana, clients[1]).signs_in(password=f"{PASSWORD}7")).code == "INVALID_CREDENTIALS"
    assert await elsewhere(ana, clients[1]).sees(event) == event
    async with socket_to(servers[1].url) as socket:
        await socket.asks(CHANGES)
        assert await socket.code() == "UNAVAILABLE"

        await redis.start()
        await asyncio.gather(*(is_ready(server.url, "ok") for server in servers))
        await subscribes(socket)
        await ana.creates_event(title="Back again")
        assert (await socket.change())["event"]["title"] == "Back again"
    for server in servers:
        assert REDIS_PASSWORD not in server.log.read_text()


async def test_a_server_is_degraded_while_redis_is_full(servers: list[Server], redis: RedisServer) -> None:
    client = Redis.from_url(redis.url)
    await client.config_set("maxmemory", "1")
    try:
        await is_ready(servers[0].url, "degraded")
    finally:
        await client.config_set("maxmemory", "0")
        await client.aclose()
    await is_ready(servers[0].url, "ok")


@on_postgresql
async def test_a_server_starts_without_redis(settings: Settings, tmp_path: Path) -> None:
    server = Server(settings, tmp_path, REDIS_URL=RedisServer(tmp_path).url)  # which nobody has started
    try:
        await server.start()
        await is_ready(server.url, "degraded")
        async with httpx.AsyncClient(base_url=server.url) as http:
            assert (await Person(http, "ana").signs_up()).code is None
        assert await server.stop(signal.SIGTERM) == 0
    finally:
        server.kill()


@on_postgresql
async def test_workers_of_one_server_hear_of_each_other(settings: Settings, tmp_path: Path, redis: RedisServer) -> None:
    workers = Workers(settings, tmp_path, REDIS_URL=redis.url)
    try:
        url = await workers.url()
        await asyncio.sleep(0.5)  # each may have to connect to Redis yet
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(socket_to(url)) for _ in range(10)]
            await asyncio.gather(*(subscribes(socket) for socket in sockets))
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
            ana = Person(http, "ana")
            await ana.signs_up()
            await ana.creates_event(title="Told to all")

            told: list[Any] = await asyncio.gather(*(socket.change() for socket in sockets))
            assert [change["event"]["title"] for change in told] == ["Told to all"] * 10

            workers.process.send_signal(signal.SIGTERM)
            assert {(await socket.is_closed())[0] for socket in sockets} == {1001}
        assert await asyncio.to_thread(workers.process.wait, 15) == 0
    finally:
        workers.kill()


@on_postgresql
async def test_workers_that_stop_answer_what_they_were_asked(
    settings: Settings, database: Settings, tmp_path: Path, redis: RedisServer
) -> None:
    workers = Workers(settings, tmp_path, REDIS_URL=redis.url)
    try:
        url = await workers.url()
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
            ana = Person(http, "ana")
            await ana.signs_up()
            sockets = [await stack.enter_async_context(socket_to(url, ana)) for _ in range(10)]
            async with nobody_writes(settings):
                for number, socket in enumerate(sockets):
                    said = {"title": f"socket {number}", "description": "", "location": "", "tags": []}
                    await socket.asks(CREATE, input=said)
                    await socket.says({"type": "ping"})
                    assert await socket.hears() == {"type": "pong"}
                by_http = [asyncio.ensure_future(ana.tries_to_create(title=f"http {number}")) for number in range(10)]
                workers.process.send_signal(signal.SIGTERM)
                await until(lambda: workers.log.read_text().count("Terminated child process") == 2)

            assert all([await socket.data() for socket in sockets])
            assert {(await socket.is_closed())[0] for socket in sockets} == {1001}
            assert {(await answer).code for answer in by_http} == {None}
        assert await asyncio.to_thread(workers.process.wait, 15) == 0
        assert await models.Event.all().count() == 20
    finally:
        workers.kill()


@pytest.mark.parametrize(
    ("redis_url", "told"),
    [
        ("", "--workers 2 needs REDIS_URL, by which the processes tell each other of changes. Set it.\n"),
        (
            "redis://127.0.0.1:1",
            "--workers 2 needs PostgreSQL: SQLite has one server at a time. Set DATABASE_URL.\n",
        ),
    ],
    ids=["Redis", "PostgreSQL"],
)
def test_what_several_workers_need_is_told_in_a_line(tmp_path: Path, redis_url: str, told: str) -> None:
    environment = {**os.environ, "SECRET_KEY": "x" * 32, "DATABASE_URL": f"sqlite://{tmp_path}/planner.sqlite3"}
    ran = subprocess.run(
        [sys.executable, "planner.py", "serve", "--workers", "2"],
        cwd=ROOT,
        env={**environment, "REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", told)
