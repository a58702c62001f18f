"""A server that is killed while it is busy: what was answered is there, once, and the next one goes on."""

import signal

import httpx
import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.events import is_found
from tests.faults.load import RECOVERS_SECONDS, Load
from tests.faults.servers import NO_HEALTH
from tests.journeys.history import NO_ANSWER
from tests.people import Person

KILLS = 3
ANSWERS = 100  # of each life, before its end


async def test_what_was_answered_is_there_once(make_watched: MakeWatched, database: Settings) -> None:
    server = make_watched()
    await server.start()
    async with server.http() as http:
        load = await Load.of(database, http, writers=6, guests=12, readers=2)
    for _ in range(KILLS):
        async with server.http() as http:
            load.clients = [http]
            async with load.running():
                await load.reaches(ANSWERS)
                await server.stop(signal.SIGKILL)
                assert await server.health() == NO_HEALTH
                with pytest.raises(httpx.TransportError):  # up == 0, as Prometheus says it
                    await server.metrics()
        await server.start()  # how long Python takes for it is the machine's affair
        await server.becomes("ok", RECOVERS_SECONDS)
        assert (await server.metrics()).value("planner_operation_seconds_count") == 0  # it is another process

    assert set(load.codes()) == {None, NO_ANSWER}  # some were under way
    assert await load.faults() == []
    again = load.created.unsure + load.created.made[-20:]
    async with server.http() as http:
        load.clients = [http]
        await load.asks_again(again)
        assert await is_found(Person(http), again) == []
    assert await load.faults() == []
