"""The disk takes no more of SQLite's file: whoever writes is told so, whoever reads notices nothing."""

import asyncio
import resource
from pathlib import Path

import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.events import Created
from tests.journeys.test_seats_history import people
from tests.people import Person

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
ROOM = 1_000_000  # bytes, for the file and its log each
NO_LIMIT = resource.RLIM_INFINITY


async def test_reads_go_on_and_nothing_is_lost(make_watched: MakeWatched, database: Settings) -> None:
    server, created = make_watched(), Created()
    await server.start()
    file = Path(database.database_url.removeprefix("sqlite://"))
    largest = max(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))
    async with server.http() as http:
        writers, anybody = await people(database, 4, http), Person(http)
        for number in range(10):
            assert await created.asks(writers[0], f"before {number}") is None

        # What the system says to a process whose file reaches it is what it says of a disk that fails.
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (largest + ROOM, NO_LIMIT))
        for number in range(1_000):
            titles = [f"{person.username} {number}" for person in writers]
            await asyncio.gather(*map(created.asks, writers, titles))
            if created.codes()[None] + 40 < len(created.told):
                break
        reads = [await anybody.asks("{ events(first: 5) { nodes { title } totalCount } }") for _ in range(20)]
        while_full, is_ready = created.codes(), await server.is_ready()

        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))
        after = [await created.asks(writers[0], f"after {number}") for number in range(10)]

    assert set(while_full) <= {None, "UNAVAILABLE", "INTERNAL"}
    assert while_full["UNAVAILABLE"] + while_full["INTERNAL"] >= 40
    assert {answer.code for answer in reads} == {None}
    assert is_ready  # it answers whoever reads; that it cannot be written is in the log
    assert set(after) == {None}  # at once, without a restart
    assert await created.faults() == []
    assert "cannot be written to: " in server.log.read_text() or while_full["INTERNAL"]
