"""A server that has warmed up stays as large as it is, whatever documents it is sent."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.conftest import Server
from tests.people import Person

# Seconds; the first for what is kept to be full. A longer run, by hand: MEMORY_SECONDS=300
WARM_UP, LOAD = 8.0, float(os.environ.get("MEMORY_SECONDS", "8"))
MOST_GROWTH = 8  # MB. Without a bound on what is kept of documents it is over 100
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells how large a process is")


def megabytes(server: Server) -> float:
    assert server._process is not None
    pages = int(Path(f"/proc/{server._process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def documents() -> Iterator[str]:
    """Those of ordinary clients, and of some who never send the same twice."""
    for number in count():
        yield "{ events { nodes { id title tags creator { username } } } }"
        yield f"{{ a{number}: events(first: {number % 100 + 1}) {{ nodes {{ id title }} }} }}"
        yield f"{{ me {{ {' '.join(f'a{number}x{n}: id' for n in range(100))} }} }}"
        yield f"{{ wrong{number} }}"
        yield f"{{ user(username: {'[' * (number % 50)}"
        yield f'query A{number} {{ event(id: "{number}") {{ ...F }} }} fragment F on Event {{ id title }}'


@pytest.fixture
async def ana(live_server: Server) -> AsyncIterator[Person]:
    async with httpx.AsyncClient(base_url=live_server.url, timeout=30) as client:
        person = Person(client, "ana")
        await person.signs_up()
        for _ in range(20):
            await person.creates_event(tags=["music"])
        yield person


async def test_a_mixed_load_makes_a_server_no_larger(live_server: Server, ana: Person) -> None:
    asked = documents()

    async def ask(until: Callable[[], bool]) -> None:
        while not until():
            document = next(asked)
            for _ in range(2):
                await ana.asks(document)

    async def load(seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(ask(lambda: time.monotonic() > end) for _ in range(4)))

    await load(WARM_UP)
    before = megabytes(live_server)
    await load(LOAD)

    assert megabytes(live_server) - before < MOST_GROWTH
