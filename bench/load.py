"""Asks one server, over and over, on a few connections that stay open.

A closed loop: each connection sends its next request when it has the whole answer to the last. Every answer is looked
at: a server that is quick because it is wrong has no figure.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from bench.http import Request, Response


class UnexpectedAnswer(Exception):
    """Not the answer that is right for the work."""


@dataclass
class Load:
    """What is sent, what is right, and what came of it. `requests` has one for each time that somebody asks."""

    port: int
    requests: Iterator[bytes]
    is_right: Callable[[Response], bool]
    deadline: float = 0.0
    seconds_each: list[float] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        return sorted(self.seconds_each)[int(len(self.seconds_each) * 0.99)] * 1_000

    async def run(self, connections: int, seconds: float) -> float:
        """The seconds it took, to the last answer. With 0 seconds, each connection asks once. Raises
        UnexpectedAnswer."""
        loop = asyncio.get_running_loop()
        opened = []
        try:
            async with asyncio.timeout(seconds + 60):
                for _ in range(connections):
                    opened.append((await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port))[1])
                begun = time.perf_counter()
                self.deadline = begun + seconds
                for connection in opened:
                    connection.ask()
                await asyncio.gather(*(connection.done for connection in opened))
                return time.perf_counter() - begun
        finally:
            for connection in opened:
                connection.transport.abort()


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, load: Load) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._load = load
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one without being of the class

    def ask(self) -> None:
        self._read = b""
        request = next(self._load.requests)
        self._sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read = self._read + data if self._read else data
        if response := Response.read(self._read):
            self._take(response)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("The server closed the connection."))

    def _take(self, response: Response) -> None:
        now = time.perf_counter()
        if not self._load.is_right(response):
            self._fail(UnexpectedAnswer((response.head + response.body[:1_000]).decode(errors="replace")))
            return
        self._load.seconds_each.append(now - self._sent)
        if now < self._load.deadline:
            try:
                self.ask()
            except StopIteration:
                self._fail(ValueError("There is nothing left to ask: make the round shorter."))
        elif not self.done.done():
            self.done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
        self.transport.abort()


async def ask_once(port: int, request: Request) -> Response:
    """The answer, whatever it is."""
    answers: list[Response] = []

    def keep(response: Response) -> bool:
        answers.append(response)
        return True

    await Load(port, iter([request.octets]), keep).run(connections=1, seconds=0)
    return answers[0]
