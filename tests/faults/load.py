"""The load that faults meet, and the verdict on what it was told: none of what was acknowledged is lost, none doubled,
nothing that was refused is there, and the counters equal the rows.

Its people ask each one thing after another until it is over: some make events, every other one with an idempotency key;
some take a seat at one of a few talks and give it up; some read.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, cycle
from typing import Self

import httpx

import models
from settings import Settings
from tests.faults.events import TAGS, Created
from tests.journeys.history import NO_ANSWER, History, Snapshot, lost
from tests.journeys.test_seats_history import people
from tests.people import Person

SEATS = 2  # of each talk, for more guests than that
LIST = "{ events(first: 5) { totalCount nodes { title confirmedCount creator { username } } } }"
KINDS = ("read", "create", "seats")
RECOVERS_SECONDS = 5
ENDS_SECONDS = 20
PAUSE_SECONDS = 0.05  # of whoever was refused, so that refusals do not take all the machine

Ask = Callable[[int, httpx.AsyncClient], Awaitable[str | None]]


@dataclass(frozen=True)
class Answered:
    kind: str
    began: float
    ended: float
    code: str | None


class Load:
    """Of clients, of which each person asks one after the other. A test may exchange them while it runs."""

    def __init__(self, clients: Sequence[httpx.AsyncClient], talks: Sequence[str]) -> None:
        self.clients, self.talks = [*clients], talks
        self.created, self.history = Created(), History()
        self.answers: list[Answered] = []
        self.people: dict[str, Person] = {}
        self._asks: list[tuple[str, Ask]] = []
        self._news, self._is_over = asyncio.Event(), False

    @classmethod
    async def of(
        cls, settings: Settings, *clients: httpx.AsyncClient, writers: int = 3, guests: int = 6, readers: int = 3
    ) -> Self:
        """The database is open in the test."""
        everybody = await people(settings, writers + guests, clients[0])
        load = cls(clients, [await _talk(everybody[0], f"talk {number}") for number in range(2)])
        load.people = {person.username: person for person in everybody}
        load._asks += [("create", load._creates(person)) for person in everybody[:writers]]
        load._asks += [("seats", load._comes_and_goes(person)) for person in everybody[writers:]]
        load._asks += [("read", _reads)] * readers
        return load

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Begins when all goes well, and ends with the last answer."""
        self._is_over = False
        asking = [asyncio.ensure_future(self._asks_on(number, *ask)) for number, ask in enumerate(self._asks)]
        try:
            await self.goes_well()
            yield
        finally:
            self._is_over = True
            async with asyncio.timeout(ENDS_SECONDS):
                await asyncio.gather(*asking)

    async def goes_well(self, seconds: float = RECOVERS_SECONDS) -> float:
        """How long it took until one of each kind that began from now on was answered well. Raises TimeoutError."""
        begun, of_before = time.perf_counter(), len(self.answers)
        async with asyncio.timeout(seconds):
            while {one.kind for one in self.answers[of_before:] if one.code is None and one.began > begun} < {*KINDS}:
                self._news.clear()
                await self._news.wait()
        return time.perf_counter() - begun

    async def reaches(self, answered: int) -> None:
        """Returns once as many more are answered."""
        wanted = len(self.answers) + answered
        async with asyncio.timeout(ENDS_SECONDS):
            while len(self.answers) < wanted:
                self._news.clear()
                await self._news.wait()

    def codes(self, *kinds: str, since: float = 0) -> Counter[str | None]:
        return Counter(one.code for one in self.answers if one.kind in (kinds or KINDS) and one.ended > since)

    @property
    def errors(self) -> Counter[str | None]:
        """The codes that the servers told it, as their metrics have to count them."""
        return Counter({code: times for code, times in self.codes().items() if code not in {None, NO_ANSWER}})

    @property
    def slowest(self) -> float:
        return max(one.ended - one.began for one in self.answers)

    async def faults(self) -> list[str]:
        """All in which the rows are not as they were told."""
        rows = await Snapshot.take_last()
        found = rows.faults() + await self.created.faults()
        for talk in self.talks:
            found += lost(self.history.of(talk), rows.places(talk))
        return found

    async def asks_again(self, titles: Sequence[str]) -> None:
        for title in titles:
            person = self.people[title.split()[0]]
            person.http = self.clients[0]
            await self.created.asks_again(person, title)

    async def _asks_on(self, person: int, kind: str, ask: Ask) -> None:
        for number in count(len(self.answers)):  # which no earlier run has come to
            if self._is_over:
                return
            client, began = self.clients[(person + number) % len(self.clients)], time.perf_counter()
            code = await ask(number, client)
            self.answers.append(Answered(kind, began, time.perf_counter(), code))
            self._news.set()
            if code:
                await asyncio.sleep(PAUSE_SECONDS)

    def _creates(self, person: Person) -> Ask:
        async def ask(number: int, client: httpx.AsyncClient) -> str | None:
            return await self.created.asks(person, f"{person.username} {number}", client, with_key=number % 2 == 0)

        return ask

    def _comes_and_goes(self, person: Person) -> Ask:
        steps = cycle([(name, talk) for talk in self.talks for name in ("rsvp", "cancelRsvp")])
        name, talk = next(steps)

        async def ask(_: int, client: httpx.AsyncClient) -> str | None:
            nonlocal name, talk
            code = await self.history.asks(person, name, talk, http=client)
            if code is None:  # else once more, which does no harm
                name, talk = next(steps)
            return code

        return ask


async def _reads(_: int, client: httpx.AsyncClient) -> str | None:
    try:
        answer = await Person(client).asks(LIST)
    except httpx.TransportError:
        return NO_ANSWER
    return answer.code


async def _talk(creator: Person, title: str) -> str:
    said = models.EventInput(title=title, description="", tags=[*TAGS], location="", capacity=SEATS)
    return str((await models.Event.publish(said, creator_id=creator.id, now=datetime.now(UTC)))["id"])
