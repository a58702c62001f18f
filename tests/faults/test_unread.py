"""Clients that ask, and read nothing of what they are answered: the server does without them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from models.event_input import DESCRIPTION_LONGEST
from tests.faults.conftest import MakeWatched
from tests.faults.servers import Watched, asked_all_the_while, within
from tests.people import Person
from tests.prometheus import Told, free_port
from tests.sockets import Socket
from web.connections import UNREAD_SECONDS
from web.websocket import PROTOCOL, SEND_SECONDS

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
CLIENTS = 5  # of each kind
MEGABYTES_EACH = 4
CHANGES = 25
# Half a MB a change: the kernel takes 4 MB before the server notices that nobody reads.
HEAVY = f"subscription {{ eventChanged {{ event {{ {' '.join(f'd{n}: description' for n in range(50))} }} }} }}"
LONG_LIST = f"{{ events(first: 100) {{ nodes {{ {' '.join(f'd{n}: description' for n in range(5))} }} }} }}"


@asynccontextmanager
async def connected(server: Watched, *said: bytes) -> AsyncIterator[None]:
    """A client that says these, waiting for a word between them, and has a small buffer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, server.address)
        for number, one in enumerate(said):
            if number:
                await loop.sock_recv(client, 1_000)
            await loop.sock_sendall(client, one)
        yield


def post(query: str, accept: str) -> bytes:
    body = orjson.dumps({"query": query})
    return (
        f"POST /graphql HTTP/1.1\r\nhost: planner.test\r\naccept: {accept}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


def frame(message: object) -> bytes:
    text = orjson.dumps(message)
    return b"\x81" + bytes([0xFE]) + len(text).to_bytes(2) + bytes(4) + text  # masked by zeros


ANSWERED = post(LONG_LIST, "application/json") * 10  # 5 MB each
STREAM = (post(HEAVY, "text/event-stream"),)
SOCKET = (
    b"GET /graphql HTTP/1.1\r\nhost: planner.test\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n",
    frame({"type": "connection_init"}) + frame({"type": "subscribe", "id": "1", "payload": {"query": HEAVY}}),
)


async def test_subscribers_are_cut(make_watched: MakeWatched) -> None:
    port = free_port()
    async with make_watched(METRICS_PORT=str(port)).running() as server, AsyncExitStack() as stack:
        ana = Person(await stack.enter_async_context(server.http()), "ana")
        await ana.signs_up()
        event = await ana.creates_event()
        reader = Socket(
            await stack.enter_async_context(
                connect(server.url.replace("http", "ws", 1) + "/graphql", subprotocols=[Subprotocol(PROTOCOL)])
            )
        )
        await reader.initialises()
        await reader.asks("subscription { eventChanged { event { version } } }")
        for said in (SOCKET, STREAM) * CLIENTS:
            await stack.enter_async_context(connected(server, *said))

        async def number(subscriptions: int) -> None:
            async def are() -> bool:
                return (await Told.by(port)).value("planner_subscriptions") == subscriptions

            await within(SEND_SECONDS + 10, are)

        await number(1 + 2 * CLIENTS)
        memory = server.megabytes
        async with asked_all_the_while(server) as took:
            for change in range(CHANGES):
                await ana.updates(event, description=chr(97 + change) * DESCRIPTION_LONGEST)
                assert (await reader.change())["event"] == {"version": event["version"] + change + 1}
            await number(1)

            assert server.megabytes - memory < MEGABYTES_EACH * 2 * CLIENTS
            assert max(took) < 3
        await ana.updates(event, title="Heard")
        assert (await reader.change())["event"]["version"] == event["version"] + CHANGES + 1
    assert "Traceback" not in server.log.read_text()


async def test_answers_that_nobody_reads_are_dropped(make_watched: MakeWatched) -> None:
    port = free_port()
    async with make_watched(METRICS_PORT=str(port)).running() as server, AsyncExitStack() as stack:
        ana = Person(await stack.enter_async_context(server.http()), "ana")
        await ana.signs_up()
        for _ in range(100):
            await ana.creates_event(description="x" * DESCRIPTION_LONGEST)
        descriptors, memory = server.descriptors, server.megabytes
        for _ in range(CLIENTS):
            await stack.enter_async_context(connected(server, ANSWERED))

        async def are_cut() -> bool:
            return (await Told.by(port)).value("planner_connections_closed_total", why="unread") == CLIENTS

        async with asked_all_the_while(server) as took:
            await within(UNREAD_SECONDS + 10, are_cut)

        assert server.megabytes - memory < 2 * 5 * CLIENTS
        assert max(took) < 3
        assert server.descriptors <= descriptors + 5
    assert "Traceback" not in server.log.read_text()
