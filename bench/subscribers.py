"""1,000 subscribers to one server: the memory that they take while nothing happens, and when the last of them hears of
a change."""

import asyncio
import base64
import os
import resource
import time
from collections.abc import Callable
from typing import cast

import orjson

from bench.load import ask_once
from bench.report import Fact
from bench.rivals import OURS
from bench.run import Run
from bench.server import Server
from bench.works import WORKS

DOCUMENT = "subscription { eventChanged { kind eventId event { title startsAt creator { username } } } }"
_FEW = 20  # subscribe first, so that what the server makes once is not counted
_AT_ONCE = 50
_SPARE_FILES = 500
_REST_SECONDS = 1.0


async def measure(run: Run) -> None:
    """On a server of its own: what one has freed that was busy before would be used again, and not be counted."""
    await run.settle()
    _allow_files(run.course.subscribers + _SPARE_FILES)
    with Server(OURS, run.database.url, run.cores) as server:
        few = await _subscribe(server.port, _FEW)
        before = server.memory_kib()
        subscribers = await _subscribe(server.port, run.course.subscribers)
        await asyncio.sleep(_REST_SECONDS)
        after = server.memory_kib()
        if before is not None and after is not None:
            run.facts += _memory(before, after, len(subscribers))
        try:
            run.facts += await _fan_out(run, server, [*few, *subscribers])
        finally:
            for one in (*few, *subscribers):
                one.transport.abort()


def _memory(before: float, after: float, number: int) -> list[Fact]:
    return [
        Fact(f"memory of each of {number:,} subscribers", "KiB", ((after - before) / number,)),
        Fact(f"memory of the server with {number:,} subscribers", "MiB", (after / 1_024,)),
    ]


async def _fan_out(run: Run, server: Server, subscribers: list["Subscriber"]) -> list[Fact]:
    create = next(work for work in WORKS if work.name == "createEvent")
    creations = create.requests(run.known, OURS)
    answered, heard = [], []
    for _ in range(1 + run.course.rounds):
        waiting = [one.hear() for one in subscribers]
        sent = time.perf_counter()
        create.said(OURS, await ask_once(server.port, next(creations)))
        answered.append((time.perf_counter() - sent) * 1_000)
        async with asyncio.timeout(30):
            heard.append((max(await asyncio.gather(*waiting)) - sent) * 1_000)
    after = [last - answer for last, answer in zip(heard, answered, strict=True)]
    mutation = f"a mutation that {run.course.subscribers:,} hear of"
    return [
        Fact(name, "ms", tuple(times[1:]))  # the first one warms it
        for name, times in (
            (f"{mutation}: its answer", answered),
            (f"{mutation}: the last hears", heard),
            ("the last hears, after the answer", after),
        )
    ]


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, hard), hard))


async def _subscribe(port: int, number: int) -> list["Subscriber"]:
    loop = asyncio.get_running_loop()
    subscribers: list[Subscriber] = []
    for first in range(0, number, _AT_ONCE):
        made = [
            (await loop.create_connection(lambda: Subscriber(port), "127.0.0.1", port))[1]
            for _ in range(first, min(first + _AT_ONCE, number))
        ]
        async with asyncio.timeout(30):
            await asyncio.gather(*(one.ready for one in made))
        subscribers += made
    return subscribers


class Subscriber(asyncio.Protocol):
    """Speaks as much of graphql-transport-ws, and of RFC 6455 below it, as it takes to subscribe and to hear."""

    transport: asyncio.Transport

    def __init__(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._read = b""
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._heard: asyncio.Future[float] | None = None
        # What is waited for, and what is done then.
        self._awaited: tuple[bytes, Callable[[], None]] = (b" 101 ", self._initialise)

    def hear(self) -> asyncio.Future[float]:
        """Done with the time at which the next change arrives."""
        self._heard = self._loop.create_future()
        return self._heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /graphql HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        )
        self.transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"\x89"):  # a ping
            self._write(b"", opcode=10)
            return
        self._read += data
        awaited, act = self._awaited
        if awaited in self._read:
            self._read = b""
            act()

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.ready, self._heard):
            if future and not future.done():
                future.set_exception(error or ConnectionResetError("The server closed the socket."))

    def _initialise(self) -> None:
        self._awaited = (b'"connection_ack"', self._subscribe)
        self._say({"type": "connection_init"})

    def _subscribe(self) -> None:
        self._awaited = (b'"next"', self._take)
        self._say({"type": "subscribe", "id": "1", "payload": {"query": DOCUMENT}})
        self.ready.set_result(None)

    def _take(self) -> None:
        if self._heard and not self._heard.done():
            self._heard.set_result(time.perf_counter())

    def _say(self, message: object) -> None:
        self._write(orjson.dumps(message), opcode=1)

    def _write(self, payload: bytes, opcode: int) -> None:
        # Masked with zeros, which leaves it as it is (RFC 6455 §5.2).
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
        self.transport.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)
