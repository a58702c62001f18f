"""Asks one server the same thing, over and over, on a few connections that stay open.

A closed loop: each connection sends its next request when it has the whole answer to the last. Every answer is
compared with the first, byte by byte: a server that is quick because it is wrong has no figure.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class UnexpectedAnswer(Exception):
    """Not 200, or not the answer that was given before."""


@dataclass
class Load:
    """What is sent, until when, and what came of it. Without `expected`, any answer with 200 will do."""

    port: int
    body: bytes
    expected: bytes | None = None
    deadline: float = 0.0
    answer: bytes = b""
    seconds_each: list[float] = field(default_factory=list)

    @property
    def request(self) -> bytes:
        head = (
            f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\naccept: application/json\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body

    async def run(self, connections: int, seconds: float) -> float:
        """The seconds it took. With 0 seconds, each connection asks once. Raises UnexpectedAnswer."""
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        self.deadline = begun + seconds
        opened = []
        try:
            async with asyncio.timeout(seconds + 30):
                for _ in range(connections):
                    opened.append((await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port))[1])
                await asyncio.gather(*(connection.done for connection in opened))
        finally:
            for connection in opened:
                connection.transport.abort()
        return time.perf_counter() - begun


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, load: Load) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._load = load
        self._request = load.request
        self._read = b""
        self._wanted = 0  # bytes of head and body together; 0 while the head is not whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one without being of the class
        self._send()

    def data_received(self, data: bytes) -> None:
        self._read = self._read + data if self._read else data
        if not self._wanted and not self._read_head():
            return
        if len(self._read) < self._wanted:
            return
        self._take()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("The server closed the connection."))

    def _send(self) -> None:
        self._read, self._wanted = b"", 0
        self._sent = time.perf_counter()
        self.transport.write(self._request)

    def _read_head(self) -> bool:
        end = self._read.find(b"\r\n\r\n") + 4
        if end == 3:
            return False
        length = _LENGTH.search(self._read, 0, end)
        if not self._read.startswith(b"HTTP/1.1 200 ") or length is None:
            self._fail()
            return False
        self._head, self._wanted = end, end + int(length[1])
        return True

    def _take(self) -> None:
        now = time.perf_counter()
        load = self._load
        answer = self._read[self._head :]
        if load.expected is not None and answer != load.expected:
            self._fail()
            return
        load.answer = answer
        load.seconds_each.append(now - self._sent)
        if now < load.deadline:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)

    def _fail(self) -> None:
        if not self.done.done():
            self.done.set_exception(UnexpectedAnswer(self._read[:1_000].decode(errors="replace")))
        self.transport.abort()
