"""A server that is killed while it writes: what was answered is there, once, and the next one goes on."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

import models
from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.events import NO_ANSWER, Created, is_found
from tests.journeys.history import History, Snapshot, lost
from tests.journeys.test_seats_history import people
from tests.people import Person

GUESTS, SEATS, KILLS = 12, 5, 3
ANSWERS = 60  # of each life, before its end


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


class Life:
    """What people ask of one life of the server, each one thing after another, until it ends."""

    def __init__(self, number: int, event_id: str, created: Created, history: History, http: httpx.AsyncClient) -> None:
        self.number, self.event_id, self.http = number, event_id, http
        self.created, self.history = created, history
        self.is_over = False

    async def publishes(self, person: Person) -> None:
        count = 0
        while not self.is_over:
            count += 1
            await self.created.asks(person, f"{person.username} {self.number} {count:04}", self.http)

    async def comes_and_goes(self, person: Person) -> None:
        while not self.is_over:
            for name in ("rsvp", "cancelRsvp"):
                await self.history.asks(person, name, self.event_id, http=self.http)


async def test_what_was_answered_is_there_once(
    make_watched: MakeWatched, database: Settings, http: httpx.AsyncClient
) -> None:
    server = make_watched()
    await server.start()
    ana, *guests = await people(database, 1 + GUESTS, http)
    said = models.EventInput(title="A talk", description="", tags=["one", "two"], location="", capacity=SEATS)
    event_id = str((await models.Event.publish(said, creator_id=ana.id, now=datetime.now(UTC)))["id"])
    created, history, back = Created(), History(), []

    for number in range(KILLS):
        async with server.http() as client:
            life = Life(number, event_id, created, history, client)
            before = len([one for one in history.operations if one.answer])
            living = [asyncio.ensure_future(life.comes_and_goes(guest)) for guest in guests]
            living += [asyncio.ensure_future(life.publishes(guest)) for guest in guests[:6]]
            await history.reaches(before + ANSWERS)
            await server.stop(signal.SIGKILL)
            life.is_over = True
            await asyncio.gather(*living)
        begun = time.perf_counter()
        await server.start()
        assert await server.is_ready()
        back.append(time.perf_counter() - begun)

    rows = await Snapshot.take_last()
    assert rows.faults() == []
    assert lost(history.of(event_id), rows.places(event_id)) == []
    assert await created.faults() == []
    assert set(created.codes()) == {None, NO_ANSWER}  # some were under way
    unsure = [title for title, code in created.told.items() if code == NO_ANSWER]
    some = [title for title, code in created.told.items() if code is None][-20:]
    async with server.http() as client:
        for guest in guests:
            guest.http = client
        by_name = {guest.username: guest for guest in guests}
        for title in unsure + some:
            await created.asks_again(by_name[title.split()[0]], title)
        assert await is_found(guests[0], unsure + some) == []
    assert await created.faults() == []
