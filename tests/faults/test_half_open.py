"""Thousands of connections on which little or nothing is ever said: the server goes on with the others."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.conftest import MakeWatched
from tests.faults.servers import asked_all_the_while, within

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


@asynccontextmanager
async def half_open(address: tuple[str, int], number: int, said: bytes) -> AsyncIterator[list[asyncio.StreamWriter]]:
    writers: list[asyncio.StreamWriter] = []
    try:
        for begun in range(0, number, 100):
            opened = await asyncio.gather(*(asyncio.open_connection(*address) for _ in range(min(100, number - begun))))
            writers += [writer for _, writer in opened]
            for _, writer in opened:
                writer.write(said)
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize("said", [b"", HALF], ids=["silent", "in the middle of a header"])
async def test_the_others_are_served(make_watched: MakeWatched, said: bytes) -> None:
    number = as_many_as_possible()
    server = make_watched()
    await server.start()
    assert await server.is_ready()
    memory, descriptors = server.megabytes, server.descriptors
    begun = time.perf_counter()
    async with asked_all_the_while(server) as took, half_open(server.address, number, said) as writers:
        time.perf_counter() - begun

        async def are_taken() -> bool:
            return server.descriptors >= descriptors + number

        await within(30, are_taken)
        for _ in range(3):  # a header that goes on and on, a byte at a time
            for writer in writers if said else ():
                writer.write(b"a")
            await asyncio.sleep(1)
        kept, used = server.descriptors - descriptors, server.megabytes - memory

    async def are_gone() -> bool:
        return server.descriptors <= descriptors + 1

    await within(30, are_gone)
    assert kept >= number  # none is closed by the server: a proxy has to (docs/operations.md)
    assert used * 1024 < KILOBYTES_EACH * number
    assert max(took) < 3
    assert await server.is_ready()
    assert "Traceback" not in server.log.read_text()
