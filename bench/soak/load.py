"""Who asks: visitors, one visit after another, at a pace that all share; and what went wrong on the way."""

import asyncio
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from typing import Any

import httpx

from auth.tokens import AccessTokens
from bench.data import Data
from tests.journeys.history import History
from tests.people import Person

ADDRESSES = 2_000  # that the visitors come from
_VICTIMS = 20  # accounts whose passwords are guessed; nobody else signs in to them
_PATIENCE_SECONDS = 30
_LONGEST_STAY_SECONDS = 45  # of a subscriber, whose session is looked at every 30

# The server closes what is idle for 5 s: who used a connection at that moment would be answered nothing.
_LIMITS = httpx.Limits(keepalive_expiry=2)


class Unexpected(Exception):
    """Another answer than is right."""


class Cut(Exception):
    """A subscriber was told to subscribe again: word of changes may have been lost."""


class Pace:
    """Lets so many through a second, evenly. Time in which nobody came is not made up for."""

    def __init__(self, a_second: float) -> None:
        self._each = 1 / a_second
        self._next = 0.0

    async def turn(self) -> None:
        now = time.monotonic()
        turn, self._next = max(now, self._next), max(now, self._next) + self._each
        await asyncio.sleep(turn - now)


@dataclass
class Load:
    """On one server. `histories` are what was asked of seats and answered, by the event."""

    url: str
    data: Data
    tokens: AccessTokens
    pace: Pace
    chance: random.Random
    statuses: Counter[int] = field(default_factory=Counter)
    visits: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    changes_heard: int = 0
    cut: int = 0  # subscribers, by the server
    histories: dict[str, History] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=count)  # for what is to be another each time

    def __post_init__(self) -> None:
        self._tls = ssl.create_default_context()  # made once: httpx would make one for each client
        self._members = cycle(self.data.accounts[:-_VICTIMS])
        self._end = 0.0

    @property
    def requests(self) -> int:
        return self.statuses.total()

    async def run(self, kinds: Collection["Visit"], visitors: int, seconds: float) -> None:
        """So many visitors take the kinds of visit in turns, for so long. Each ends the one that it has begun."""
        self._end, deck = time.monotonic() + seconds, cycle(kinds)

        async def visit() -> None:
            while time.monotonic() < self._end:
                kind = next(deck)
                name = kind.__name__
                self.visits[name] += 1
                try:
                    async with asyncio.timeout(_LONGEST_STAY_SECONDS + _PATIENCE_SECONDS):
                        await kind(self)
                except Cut:
                    self.cut += 1
                except Exception as error:  # whatever it is: it is told at the end, and the others go on
                    self._note_fault(f"{name}: {type(error).__name__} {error}"[:300])

        await asyncio.gather(*(visit() for _ in range(visitors)))

    @property
    def stay_seconds(self) -> float:
        """How long somebody stays who only hears: mostly for some seconds."""
        left = max(0.0, self._end - time.monotonic())
        return min(self.chance.expovariate(1 / 8), left, _LONGEST_STAY_SECONDS)

    @property
    def address(self) -> str:
        number = self.chance.randrange(ADDRESSES)
        return f"198.18.{number // 250}.{number % 250 + 1}"  # RFC 2544: for measuring

    @asynccontextmanager
    async def client(self, address: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """One that somebody comes with, and goes."""
        async with httpx.AsyncClient(
            base_url=self.url,
            verify=self._tls,
            headers={"x-forwarded-for": address or self.address},
            timeout=_PATIENCE_SECONDS,
            limits=_LIMITS,
            event_hooks={"request": [self._wait], "response": [self._note]},
        ) as http:
            yield http

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Person]:
        async with self.client() as http:
            yield Person(http)

    @asynccontextmanager
    async def member(self, *, signed_in: bool = True) -> AsyncIterator[Person]:
        """One of those who have an account; by a token that was issued without a password, where it is signed in."""
        async with self.client() as http:
            yield self.person(http, signed_in=signed_in)

    def person(self, http: httpx.AsyncClient, *, signed_in: bool = True, days_ago: int = 0) -> Person:
        """The next member, so that nobody is on two visits at a time; where it is signed in, then so long ago."""
        account = next(self._members)
        person = Person(http, account.name)
        person.email, person.id = account.email, str(account.id)
        if signed_in:
            now = datetime.now(UTC) - timedelta(days=days_ago)
            person.token, _ = self.tokens.issue(user_id=person.id, session_id=str(account.session_id), now=now)
        return person

    def victim(self, http: httpx.AsyncClient) -> Person:
        """Somebody whose password is guessed."""
        person = Person(http)
        person.email = self.chance.choice(self.data.accounts[-_VICTIMS:]).email
        return person

    async def _wait(self, request: httpx.Request) -> None:
        await self.pace.turn()

    async def _note(self, response: httpx.Response) -> None:
        self.statuses[response.status_code] += 1
        if response.status_code >= 500:
            self._note_fault(f"status {response.status_code} of {response.request.url.path}")

    def _note_fault(self, what: str) -> None:
        if what not in self.faults:
            sys.stderr.write(f"{what}\n")
        self.faults[what] += 1


Visit = Callable[[Load], Awaitable[None]]


async def ask(person: Person, document: str, *expected: str, **variables: Any) -> Any:
    """The data. Raises Unexpected where the codes of its errors are others than these."""
    answer = await person.asks(document, **variables)
    codes = {error["extensions"]["code"] for error in answer.errors}
    if codes != {*expected}:
        raise Unexpected(f"{document[:100]!r} answers {codes or 'without an error'}")
    return answer.body.get("data")
