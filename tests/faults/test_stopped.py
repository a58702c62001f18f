"""A server that is asked to stop while it is busy: it answers what it was asked, says goodbye, and ends."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

import models
from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.events import CREATE
from tests.faults.load import Load
from tests.faults.locks import nobody_writes
from tests.faults.servers import NO_HEALTH, Watched, within
from tests.journeys.history import NO_ANSWER
from tests.people import Person
from tests.sockets import Socket
from web.websocket import PROTOCOL

WITHIN_SECONDS = 10
SOCKETS, STREAMS, SIGN_INS = 20, 20, 24
CHANGES = "subscription { eventChanged { eventId } }"
UNDER_WAY_SECONDS = 0.05  # sent so long before the signal, a request has been taken


async def subscribes(stack: AsyncExitStack, server: Watched) -> ClientConnection:
    socket = await connects(stack, server)
    await socket.initialises()
    await socket.asks(CHANGES)
    return socket.connection


async def connects(stack: AsyncExitStack, server: Watched) -> Socket:
    address = server.url.replace("http", "ws", 1) + "/graphql"
    return Socket(
        await stack.enter_async_context(
            connect(address, subprotocols=[Subprotocol(PROTOCOL)], max_queue=None, proxy=None)
        )
    )


async def streams(server: Watched, opened: Callable[[], None]) -> str:
    """All that one is told until its end. Raises what httpx raises of one that is cut."""
    headers = {"accept": "text/event-stream"}
    async with (
        server.http() as http,
        http.stream("POST", "/graphql", json={"query": CHANGES}, headers=headers) as response,
    ):
        opened()
        return (await response.aread()).decode()


async def test_it_answers_what_it_was_asked_and_says_goodbye(make_watched: MakeWatched, database: Settings) -> None:
    server = make_watched(BCRYPT_COST="11", ACCOUNT_GUESSES_PER_HOUR="100")
    await server.start()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(server.http())
        load, owner = await Load.of(database, http), Person(http, "owner")
        await owner.signs_up()

        connections = [await subscribes(stack, server) for _ in range(SOCKETS)]
        opened: Counter[str] = Counter()
        listening = [asyncio.ensure_future(streams(server, lambda: opened.update(["one"]))) for _ in range(STREAMS)]
        async with asyncio.timeout(10):
            while opened["one"] < STREAMS:  # noqa: ASYNC110 - httpx tells nobody
                await asyncio.sleep(0.01)
        owner.http = await stack.enter_async_context(server.http())
        await asyncio.gather(*(owner.http.get("/health/live") for _ in range(SIGN_INS)))  # opens the connections
        async with load.running():
            signing_in = [asyncio.ensure_future(owner.signs_in()) for _ in range(SIGN_INS)]
            await asyncio.sleep(0.4)

            asked = time.perf_counter()
            assert await server.stop(signal.SIGTERM) == 0
            took = time.perf_counter() - asked
            assert await server.health() == NO_HEALTH
        told = await asyncio.gather(*listening)
        for connection in connections:
            await connection.wait_closed()

    assert took < WITHIN_SECONDS
    # A password takes long to be hashed. Whose turn had come is signed in; who waited is told that nothing was done.
    signed_in = Counter(answer.code for answer in await asyncio.gather(*signing_in))
    assert set(signed_in) <= {None, "UNAVAILABLE"}
    assert await models.Session.filter(user_id=owner.id).count() == 1 + signed_in[None]
    unanswered = [one.began for one in load.answers if one.code == NO_ANSWER]
    assert [began for began in unanswered if began < asked - UNDER_WAY_SECONDS] == []
    assert set(load.codes()) == {None, NO_ANSWER}
    assert await load.faults() == []
    assert Counter(connection.close_code for connection in connections) == {1001: SOCKETS}
    assert [text for text in told if "event: complete" in text] == []  # which says that no more will ever come
    assert "Traceback" not in server.log.read_text()
    # What it did not answer it did not do either: it was never read.
    async with make_watched().running() as again, again.http() as http:
        load.clients = [http]
        await load.asks_again(load.created.unsure)
    assert await load.faults() == []


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_who_never_reads_does_not_hold_it_up(make_watched: MakeWatched) -> None:
    server = make_watched()
    await server.start()
    begun = time.perf_counter()
    _reader, writer = await asyncio.open_connection(*server.address, limit=1024)
    introspection = (
        b"GET /graphql?query={__schema{types{name,description,fields{name,description,args{name}}}}} HTTP/1.1"
    )
    writer.write((introspection + b"\r\nHost: planner.test\r\n\r\n") * 200)
    async with server.http() as http:
        await http.get("/health/live")
    begun = time.perf_counter()

    assert await server.stop(signal.SIGTERM) == 0

    assert time.perf_counter() - begun < WITHIN_SECONDS
    assert "Traceback" not in server.log.read_text()
    writer.close()


class Asking:
    """Somebody who has an event made over a socket, by HTTP, and as a stream of one answer; `queries` reads by HTTP."""

    def __init__(self, stack: AsyncExitStack, person: Person) -> None:
        self._stack, self._person = stack, person
        self._headers = {"authorization": f"Bearer {person.token}"}

    async def begins(self, server: Watched) -> None:
        """Returns once the server is at work at what the socket asked."""
        self.socket = await signed_in_socket(self._stack, server, self._person)
        self.id = await self.socket.asks(CREATE, input=event("socket"))
        await self.socket.says({"type": "ping"})
        assert await self.socket.hears() == {"type": "pong"}
        self.by_http = asyncio.ensure_future(self._posts(server, "http"))
        self.by_stream = asyncio.ensure_future(self._posts(server, "stream", accept="text/event-stream"))
        self.queries = asyncio.ensure_future(self._person.asks("{ events { nodes { title } } }"))

    async def _posts(self, server: Watched, title: str, **headers: str) -> str:
        body = {"query": CREATE, "variables": {"input": event(title)}}
        async with server.http() as http:
            return (await http.post("/graphql", json=body, headers={**self._headers, **headers})).text


def event(title: str) -> dict[str, Any]:
    return {"title": title, "description": "", "location": "", "tags": ["one", "two"]}


async def signed_in_socket(stack: AsyncExitStack, server: Watched, person: Person) -> Socket:
    connection = await connects(stack, server)
    await connection.initialises({"authorization": f"Bearer {person.token}"})
    return connection


async def says_that_it_stops(server: Watched) -> bool:
    async with server.http() as http:
        ready = await http.get("/health/ready")
    return (ready.status_code, ready.json()) == (503, {"status": "stopping"})


async def test_what_waits_for_the_database_is_answered_whatever_it_came_by(
    make_watched: MakeWatched, database: Settings
) -> None:
    server = make_watched()
    await server.start()
    async with AsyncExitStack() as stack:
        ana = Person(await stack.enter_async_context(server.http()), "ana")
        await ana.signs_up()
        asking = Asking(stack, ana)
        async with nobody_writes(database):
            await asking.begins(server)
            stopping = asyncio.create_task(server.stop(signal.SIGTERM))
            await within(2, lambda: says_that_it_stops(server))
            late = await asking.socket.asks(CREATE, input=event("late"))
            refused = await asking.socket.hears()

        answered = await asking.socket.hears()
        closed = await asking.socket.is_closed()
        by_http, by_stream = await asking.by_http, await asking.by_stream
        assert await stopping == 0

    assert (refused["id"], refused["payload"][0]["extensions"]["code"]) == (late, "UNAVAILABLE")
    assert (answered["type"], answered["id"]) == ("next", asking.id)
    assert closed == (1001, "The server stops.")
    assert "errors" not in answered["payload"]
    assert "errors" not in by_http
    assert "errors" not in by_stream
    assert "event: complete" in by_stream
    assert {one.title for one in await models.Event.all()} == {"socket", "http", "stream"}


async def test_what_takes_too_long_is_told_that_nobody_knows(make_watched: MakeWatched, database: Settings) -> None:
    server = make_watched(DATABASE_WAIT_SECONDS="30", DATABASE_STATEMENT_SECONDS="30")
    await server.start()
    async with AsyncExitStack() as stack:
        ana = Person(await stack.enter_async_context(server.http()), "ana")
        await ana.signs_up()
        asking = Asking(stack, ana)
        async with nobody_writes(database):
            await asking.begins(server)
            asked = time.perf_counter()
            assert await server.stop(signal.SIGTERM) == 0
            took = time.perf_counter() - asked

        answered = await asking.socket.hears()
        closed = await asking.socket.is_closed()

    assert took < WITHIN_SECONDS
    assert [error["extensions"]["code"] for error in answered["payload"]["errors"]] == ["INTERNAL"]
    assert closed == (1001, "The server stops.")
    assert '"INTERNAL"' in await asking.by_http
    assert '"INTERNAL"' in await asking.by_stream
    queried = await asking.queries
    assert queried.code == "UNAVAILABLE"
    assert queried.response.headers["retry-after"] == "1"
    assert "Traceback" not in server.log.read_text()
    assert await models.Event.all().count() == 0
