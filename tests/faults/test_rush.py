"""An event's row that somebody holds, and many who want a seat there: everybody else goes on."""

import asyncio

import asyncpg
import pytest

from models.turns import AT_ONCE
from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.servers import asked_all_the_while
from tests.journeys.history import Snapshot
from tests.journeys.test_seats_history import event, people

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
CROWD, SEATS, CONNECTIONS = 40, 10, 2 * AT_ONCE
HELD_SECONDS, WAIT_SECONDS = 10, 30
STUCK = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND backend_type = 'client backend'"""


async def test_a_rush_leaves_the_others_their_connections(make_watched: MakeWatched, database: Settings) -> None:
    server = make_watched(DATABASE_POOL_SIZE=str(CONNECTIONS), DATABASE_WAIT_SECONDS=str(WAIT_SECONDS))
    async with server.running(), server.http(timeout=60) as http:
        ana, *crowd = await people(database, CROWD + 1, http)
        talk = await event(ana, SEATS)
        holder, onlooker = [await asyncpg.connect(database.database_url) for _ in range(2)]
        async with holder.transaction():
            await holder.execute("SELECT FROM events WHERE id = $1 FOR UPDATE", talk)
            rush = [asyncio.ensure_future(person.rsvps({"id": talk})) for person in crowd]
            while await onlooker.fetchval(STUCK) < AT_ONCE:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
            async with asked_all_the_while(server) as took, asyncio.timeout(HELD_SECONDS):
                made = [await ana.tries_to_create() for _ in range(20)]
            stuck, metrics = await onlooker.fetchval(STUCK), await server.metrics()
            assert not any(one.done() for one in rush)
        answers = await asyncio.gather(*rush)
        await holder.close()
        await onlooker.close()

    assert stuck == AT_ONCE
    assert metrics.value("planner_event_turns_waiting") == CROWD - AT_ONCE
    assert {answer.code for answer in made} == {None}
    assert max(took) < HELD_SECONDS / 2
    assert {answer.code for answer in answers} == {None}
    seats = (await Snapshot.take()).seats(talk)
    assert (len(seats.confirmed), len(seats.line)) == (SEATS, CROWD - SEATS)
