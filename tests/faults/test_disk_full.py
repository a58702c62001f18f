"""The disk takes no more of SQLite's file: whoever writes is told so, whoever reads notices nothing."""

import resource
from pathlib import Path

import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.load import RECOVERS_SECONDS, Load
from tests.faults.servers import within

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
ROOM = 1_000_000  # bytes, for the file and its log each
NO_LIMIT = resource.RLIM_INFINITY
REFUSED = 20


async def test_reads_go_on_and_nothing_is_lost(make_watched: MakeWatched, database: Settings) -> None:
    server = make_watched()
    await server.start()
    file = Path(database.database_url.removeprefix("sqlite://"))
    async with server.http() as http:
        load = await Load.of(database, http)

        async def is_full() -> bool:
            return load.errors.total() >= REFUSED

        async with load.running():
            largest = max(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))
            # What the system says to a process whose file reaches it is what it says of a disk that fails.
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (largest + ROOM, NO_LIMIT))
            await within(30, is_full)
            await server.becomes("degraded", RECOVERS_SECONDS)
            await load.reaches(20)
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))
            await load.goes_well(RECOVERS_SECONDS)  # without a restart
            await server.becomes("ok", RECOVERS_SECONDS)

    assert set(load.codes("read")) == {None}
    assert set(load.errors) <= {"UNAVAILABLE", "INTERNAL"}
    assert await server.errors() == load.errors
    assert (await server.metrics()).value("planner_database_troubles_total", why="disk") > 0
    assert await load.faults() == []
