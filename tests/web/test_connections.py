"""Clients that send too slowly, read too slowly, or send without end. Nobody waits here: a look stands for a second."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.types import Receive, Scope, Send

from tests.sockets import PATIENCE, served, until
from web.connections import (
    CLOSED,
    FLOOD,
    FULL,
    HEAD_SECONDS,
    LATE,
    LONG,
    MALFORMED,
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    MOST_SMALL_FRAMES,
    UNREAD,
    UNREAD_SECONDS,
    Patience,
    SocketConnection,
)
from web.intake import PIECE

LONG_ANSWER = 20_000_000  # the kernel holds a few MB of it
GET = b"GET / HTTP/1.1\r\nhost: planner.test\r\n\r\n"
GET_LONG = b"GET /long HTTP/1.1\r\nhost: planner.test\r\n\r\n"
GET_WHEN_READY = b"GET /ready HTTP/1.1\r\nhost: planner.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: planner.test\r\ntransfer-encoding: chunked\r\n\r\n"
POST_EARLY = b"POST /early HTTP/1.1\r\nhost: planner.test\r\ncontent-length: 1000\r\n\r\n"
SOCKET = (
    b"GET / HTTP/1.1\r\nhost: planner.test\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 101 "
EMPTY_PING, EMPTY_PONG, EMPTY_PIECE = b"\x89\x80" + bytes(4), b"\x8a\x80" + bytes(4), b"\x00\x80" + bytes(4)
TEXT = b"\x81\x82" + bytes(4) + b"{}"
PING = b"\x89\xfd" + bytes(4) + b"p" * 125  # masked by zeros
HALF = b"GET / HTTP/1.1\r\nhost: planner.test\r\nx-slow: a"
OK = b"HTTP/1.1 200 OK"


class Served:
    def __init__(self) -> None:
        self.patience = Patience(100)
        self.is_ready = asyncio.Event()
        self.address = ("", 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            return
        if scope["path"] == "/ready":
            await self.is_ready.wait()
        if scope["path"] != "/early":
            while (await receive()).get("more_body"):
                pass
        size = LONG_ANSWER if scope["path"] == "/long" else 2
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"x" * size})

    @asynccontextmanager
    async def served(self) -> AsyncIterator["Served"]:
        async with served(self, http=self.patience.connection, ws=SocketConnection) as self.address:
            yield self
            self.is_ready.set()  # the server waits for those who wait for it

    @asynccontextmanager
    async def client(self) -> AsyncIterator["Client"]:
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        own.setblocking(False)
        await asyncio.get_running_loop().sock_connect(own, self.address)
        client = Client(*await asyncio.open_connection(sock=own, limit=65_536))
        try:
            yield client
        finally:
            client.writer.transport.abort()

    async def says(self, client: "Client", said: bytes) -> None:
        """Returns once it was heard, since what is said later is answered."""
        client.writer.write(said)
        await client.writer.drain()
        async with self.client() as other:
            await other.asks(GET)

    async def looks(self, times: int) -> None:
        for _ in range(times):
            await self.patience.look()
            await asyncio.sleep(0)

    @property
    def unsent(self) -> int:
        """Bytes that the server holds for the slowest of its clients."""
        return max(int(one.transport.get_write_buffer_size()) for one in self.patience._connections)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def asks(self, request: bytes) -> None:
        self.writer.write(request)
        await self.is_answered()

    async def is_answered(self) -> None:
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(OK)
            await self.reader.readexactly(2)

    async def last_words(self) -> bytes:
        """All that the server says until it closes the connection."""
        heard = b""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):  # where it had been sent more than it took
                while octets := await self.reader.read(65_536):
                    heard += octets
        return heard


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with Served().served() as server:
        yield server


def closed(why: str) -> float:
    return float(CLOSED.labels(why)._value.get())


@pytest.mark.parametrize(
    ("before", "said", "trickle"),
    [
        (b"", b"", b""),
        (b"", b"\r\n", b"\r\n"),
        (b"", HALF, b""),
        (b"", HALF, b"a"),
        (GET, b"", b""),
        (GET, b"\r\n", b"\r\n"),
        (GET, HALF, b"a"),
        (POST_EARLY, b"body", b"y"),
        (b"", SOCKET.removesuffix(b"\r\n"), b"a"),
    ],
    ids=[
        *("silent", "empty lines", "half a head", "one that goes on", "nothing more", "empty lines after a request"),
        *("half of a second head", "a body nobody waits for", "half of a handshake"),
    ],
)
async def test_a_head_has_ten_seconds(server: Served, before: bytes, said: bytes, trickle: bytes) -> None:
    counted = closed(LATE)
    async with server.client() as client:
        if before:
            await client.asks(before)
        await server.says(client, said)
        for _ in range(HEAD_SECONDS):
            await server.looks(1)
            client.writer.write(trickle)

        assert closed(LATE) == counted
        await server.looks(1)
        assert closed(LATE) == counted + 1
        words = await client.last_words()
    assert words.partition(b" Request")[0] == (b"HTTP/1.1 408" if b"HTTP" in said else b"")


async def test_it_is_not_late_while_the_server_is(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, GET_WHEN_READY)
        await server.looks(3 * HEAD_SECONDS)
        server.is_ready.set()

        await client.is_answered()


async def test_nor_while_a_body_comes_in(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, POST + b"1\r\nx\r\n")
        await server.looks(3 * HEAD_SECONDS)

        await client.asks(b"0\r\n\r\n")


async def test_half_a_head_behind_a_request_is_not_answered_in_its_place(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, GET_WHEN_READY + HALF)
        await server.looks(1 + HEAD_SECONDS)

        assert await client.last_words() == b""


async def test_what_the_server_does_not_read_yet_is_not_late(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, GET_WHEN_READY + GET + HALF)
        await server.looks(3 * HEAD_SECONDS)
        server.is_ready.set()

        await client.is_answered()
        await client.is_answered()
        await client.asks(b"\r\n\r\n")


@pytest.mark.parametrize("request_", [GET_LONG, GET_LONG.replace(b"1.1", b"1.0")], ids=["kept", "closed by itself"])
async def test_an_answer_that_is_never_read_has_thirty_seconds(server: Served, request_: bytes) -> None:
    counted = closed(UNREAD)
    async with server.client() as client:
        await server.says(client, request_)
        await until(lambda: server.unsent > 0)
        await server.looks(UNREAD_SECONDS)

        assert closed(UNREAD) == counted
        await server.looks(1)
        assert closed(UNREAD) == counted + 1
        assert len(await client.last_words()) < LONG_ANSWER


async def test_one_that_is_read_slowly_is_read_whole(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, GET_LONG)
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(3 * UNREAD_SECONDS):
            await client.reader.readexactly(100_000)
            await server.looks(1)

        await client.reader.readexactly(LONG_ANSWER - 3 * UNREAD_SECONDS * 100_000)
        await client.asks(GET)


async def test_another_pause_is_another_wait(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, GET_LONG)
        await until(lambda: server.unsent > 0 and len(server.patience._connections) == 1)
        (connection,) = server.patience._connections
        waited_for = connection.waits_for()
        connection.resume_writing()
        connection.pause_writing()

        assert waited_for is not None
        assert connection.waits_for() not in {None, waited_for}


async def test_pongs_that_nobody_reads_are_not_kept(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.connections.MOST_SMALL_FRAMES", sys.maxsize)  # as if over minutes
    counted = closed(UNREAD)
    async with server.client() as client:
        await server.says(client, SOCKET)
        for _ in range(200):  # 13 MB of pings
            client.writer.write(PING * 500)
            await client.writer.drain()
        await server.says(client, PING)

        assert 0 < server.unsent < 500_000
        await server.looks(1 + UNREAD_SECONDS)
        assert closed(UNREAD) == counted + 1


@pytest.mark.parametrize(
    ("begun", "answer"),
    [(HALF, b"HTTP/1.1 431 "), (b"GET /", b"HTTP/1.1 431 "), (POST + b"1\r\nx\r\n0\r\nx: ", b"")],
    ids=["a header", "an address", "a trailer"],
)
async def test_a_head_without_end_is_cut(server: Served, begun: bytes, answer: bytes) -> None:
    counted, said = closed(LONG), 0
    async with server.client() as client:
        await server.says(client, begun)
        while closed(LONG) == counted and said < 2 * MOST_HEAD_BYTES:
            await server.says(client, b"a" * 10_000)
            said += 10_000

        assert closed(LONG) == counted + 1
        assert (await client.last_words()).startswith(answer)


async def test_long_bodies_and_many_requests_are_no_long_head(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, POST)
        for _ in range(3 * MOST_HEAD_BYTES // 10_000):
            await server.says(client, b"2710\r\n" + b"y" * 10_000 + b"\r\n")
        await client.asks(b"0\r\n\r\n")
        await server.says(client, GET[:-2] + b"x: ")
        for _ in range(3 * MOST_HEAD_BYTES // 10_000):
            await server.says(client, b"a" * 10_000)
            await server.says(client, b"\r\n\r\n" + GET[:-2] + b"x: ")
            await client.is_answered()


async def test_nor_has_it_headers_without_end(server: Served) -> None:
    counted = closed(LONG)
    async with server.client() as client:
        client.writer.write(GET[:-2] + b"a:\r\n" * 3 * MOST_HEADERS)

        assert (await client.last_words()).startswith(b"HTTP/1.1 431 ")
    assert closed(LONG) == counted + 1


@pytest.mark.parametrize("hosts", [b"", b"host: a\r\nhost: b\r\n"], ids=["none", "two"])
async def test_a_request_names_one_host(server: Served, hosts: bytes) -> None:
    async with server.client() as client:
        client.writer.write(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
        assert (await client.last_words()).startswith(b"HTTP/1.1 400 ")
    async with server.client() as old:
        old.writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await old.last_words()).startswith(OK)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"x: " + b"a" * 20_000 + b"\r\n", b"431"),
        (b"x: a\r\n" * 200, b"431"),
        (b"content-length: 3\r\n", b"400"),
    ],
    ids=["a long header", "many headers", "a body"],
)
async def test_a_handshake_that_cannot_be_read_is_answered(server: Served, more: bytes, status: bytes) -> None:
    async with server.client() as client:
        client.writer.write(SOCKET[:-2] + more + b"\r\n")

        assert (await client.last_words()).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("begun", "frame"),
    [(b"", EMPTY_PING), (b"", EMPTY_PONG), (b"\x01\x80" + bytes(4), EMPTY_PIECE)],
    ids=["pings", "pongs", "pieces of a message"],
)
async def test_small_frames_have_an_end(server: Served, begun: bytes, frame: bytes) -> None:
    counted = closed(FLOOD)
    async with server.client() as client:
        await server.says(client, SOCKET)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write(begun + frame * 2 * MOST_SMALL_FRAMES)

        words = await client.last_words()
    assert words.endswith(b"\x03\xf0Too many small frames.")  # 1008
    assert closed(FLOOD) == counted + 1


async def test_a_second_may_have_so_many_of_them(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, SOCKET)
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(ACCEPTED)
        for _ in range(3):
            client.writer.write(EMPTY_PING * (MOST_SMALL_FRAMES // 2))
            await client.reader.readexactly(2 * (MOST_SMALL_FRAMES // 2))
            (socket,) = [one for one in server.patience._connections if isinstance(one, SocketConnection)]
            socket._second -= 1


async def test_of_requests_sent_at_once_few_wait_for_their_turn(server: Served) -> None:
    most = 0
    async with server.client() as client:
        await server.says(client, GET_WHEN_READY + GET * 1_000)
        server.is_ready.set()
        for _ in range(1_001):
            most = max(most, *(len(one.pipeline) for one in server.patience._connections))
            await client.is_answered()

    assert 0 < most <= 1 + PIECE // len(GET)


async def test_a_long_body_is_read_whole(server: Served) -> None:
    async with server.client() as client:
        head = POST.replace(b"transfer-encoding: chunked", b"content-length: 1000000")
        await client.asks(head + b"y" * 1_000_000)
        await client.asks(GET)


async def test_messages_sent_at_once_are_all_answered(server: Served) -> None:
    async with server.client() as client:
        await server.says(client, SOCKET)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write(TEXT * 3 * PIECE)

        async with asyncio.timeout(PATIENCE):
            assert await client.reader.readexactly(4 * 3 * PIECE) == b"\x81\x02{}" * 3 * PIECE


async def test_frames_that_do_not_wait_for_the_handshake_are_dropped(server: Served) -> None:
    async with server.client() as client:
        client.writer.write(SOCKET + TEXT * 3 * PIECE)
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(ACCEPTED)
        client.writer.write(EMPTY_PING)

        assert await client.reader.readexactly(2) == b"\x8a\x00"


async def test_there_are_only_so_many(server: Served) -> None:
    server.patience = Patience(2)
    counted = closed(FULL)
    async with server.served() as small, small.client() as first:
        await first.asks(GET)
        async with small.client() as second:
            await second.asks(GET)
            async with small.client() as third:
                assert await third.last_words() == b""
            assert closed(FULL) == counted + 1
            await first.asks(GET)
        await until(lambda: len(small.patience._connections) == 1)
        async with small.client() as fourth:
            await fourth.asks(GET)


def malformed(kind: str) -> float:
    return float(MALFORMED.labels(kind)._value.get())


@pytest.mark.parametrize(
    ("kind", "before", "said"),
    [
        ("http", b"", b"\x16\x03\x01\r\n\r\n"),
        ("http", GET, b"GET / HTTP/1.1\r\n: planner.test\r\n\r\n"),
        ("upgrade", b"", GET.replace(b"\r\n\r\n", b"\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")),
        ("websocket", SOCKET, b"\x81\x81" + bytes(4) + b"\xff"),
        ("websocket", SOCKET, b"\xff\xff" + bytes(4)),
    ],
    ids=["not HTTP", "a broken second head", "another upgrade", "no text", "no frame"],
)
async def test_what_is_no_request_is_counted(server: Served, kind: str, before: bytes, said: bytes) -> None:
    counted = malformed(kind)
    async with server.client() as client:
        if before:
            client.writer.write(before)
            await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write(said)
        await until(lambda: malformed(kind) == counted + 1)
