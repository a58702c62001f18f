"""Thousands of connections on which little or nothing is ever said: the server closes them, and goes on with the
others meanwhile."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import pytest

from tests.faults.conftest import MakeWatched
from tests.faults.servers import asked_all_the_while
from tests.prometheus import Told, free_port
from web.connections import HEAD_SECONDS

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
MOST = 10_000
SPARE = 500  # descriptors for everything else, here and in the server
KILOBYTES_EACH = 40
HALF = b"POST /graphql HTTP/1.1\r\nHost: planner.test\r\nX-Slow: "


def as_many_as_possible() -> int:
    """The server has the same limit as this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MOST + SPARE <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (MOST + SPARE, hard))
    return min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)


class Half(asyncio.Protocol):
    """A client that says this much, and then whatever it is told to."""

    transport: asyncio.Transport

    def __init__(self, said: bytes) -> None:
        self._said = said
        self.is_open = True

    def itself(self) -> Self:
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._said)

    def connection_lost(self, _: Exception | None) -> None:
        self.is_open = False


@asynccontextmanager
async def half_open(address: tuple[str, int], number: int, said: bytes) -> AsyncIterator[list[Half]]:
    loop, clients = asyncio.get_running_loop(), [Half(said) for _ in range(number)]
    try:
        for begun in range(0, number, 100):
            some = clients[begun : begun + 100]
            await asyncio.gather(*(loop.create_connection(one.itself, *address) for one in some))
        yield clients
    finally:
        for client in clients:
            client.transport.abort()


@pytest.mark.parametrize("said", [b"", HALF], ids=["silent", "in the middle of a header"])
async def test_they_are_closed_and_the_others_are_served(make_watched: MakeWatched, said: bytes) -> None:
    number, port = as_many_as_possible(), free_port()
    server = make_watched(METRICS_PORT=str(port))
    await server.start()
    assert await server.is_ready()
    memory, descriptors, used = server.megabytes, server.descriptors, 0.0
    async with asked_all_the_while(server) as took, half_open(server.address, number, said) as clients:
        async with asyncio.timeout(3 * HEAD_SECONDS):  # a machine that is busy looks less often
            while left := [client for client in clients if client.is_open]:
                used = max(used, server.megabytes - memory)
                for client in left if said else ():
                    client.transport.write(b"a")  # a header that goes on and on, a byte at a time
                await asyncio.sleep(1)
        told = await Told.by(port)

    assert told.value("planner_connections_closed_total", why="late") == number
    assert server.descriptors <= descriptors + 5  # the metrics', and who asks for health
    assert used * 1024 < KILOBYTES_EACH * number
    assert max(took) < 3
    assert await server.is_ready()
    assert "Traceback" not in server.log.read_text()
