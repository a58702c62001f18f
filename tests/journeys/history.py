"""What was asked of an event's seats and what was answered, over time; and whether the rules alone explain it.

An operation lasts from the moment it is sent until its answer is here. One whose server died has no answer: it may be
done at any time since, or never. One that was told INTERNAL was done by then, or never will be. `explained` looks for
an order of the operations, none of which begins after another is over and yet comes before it, in which the model of
the rules gives every answer and ends in the rows there are (Wing & Gong, "Testing and Verifying Concurrent Objects",
1993, with Lowe's memory of what was tried).
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from tortoise.transactions import in_transaction

import models
from models.reads import query
from tests.people import Answer, Person

EVENT = "{ capacity confirmedCount waitlistCount version }"
PLACE = f"{{ status waitlistPosition event {EVENT} }}"
DOCUMENTS = {
    "rsvp": f"mutation ($id: ID!) {{ rsvp(eventId: $id) {PLACE} }}",
    "cancelRsvp": f"mutation ($id: ID!) {{ cancelRsvp(eventId: $id) {PLACE} }}",
    "updateEvent": f"mutation ($id: ID!, $n: Int) {{ updateEvent(id: $id, input: {{capacity: $n}}) {EVENT} }}",
}
ROWS = (
    "SELECT e.id AS event_id, e.status AS event_status, e.capacity, e.version, e.confirmed_count, e.waitlist_count,"
    " e.tickets, r.user_id, r.status, r.ticket FROM events e LEFT JOIN rsvps r ON r.event_id = e.id ORDER BY r.ticket"
)
NO_ANSWER = "no answer"
Seen = dict[str, Any]  # what an answer shows; a refusal shows its code


@dataclass
class Operation:
    name: str  # of the mutation
    event_id: str
    who: str
    capacity: int | None = None
    called: float = 0
    returned: float = math.inf
    answer: Seen | None = None  # None: nobody knows

    @property
    def was_refused(self) -> bool:
        return self.answer is not None and "code" in self.answer


@dataclass(frozen=True)
class Seats:
    """The rules, for one event, without a database. People stand in the order in which they came."""

    capacity: int | None
    confirmed: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    gone: frozenset[str] = frozenset()
    version: int = 1

    def after(self, operation: Operation) -> "Seats | Seen":
        """The event once this is done, or what is refused."""
        who = operation.who
        if operation.name == "rsvp":
            return self if who in self.confirmed + self.line else self._with(line=(*self.line, who), come={who})
        if operation.name == "cancelRsvp":
            if who not in self.confirmed + self.line:
                return self if who in self.gone else {"code": "NOT_FOUND"}
            confirmed, line = (tuple(one for one in held if one != who) for held in (self.confirmed, self.line))
            return self._with(confirmed=confirmed, line=line, left={who})
        if operation.capacity is not None and operation.capacity < len(self.confirmed):
            return {"code": "CAPACITY_BELOW_CONFIRMED", "confirmed": len(self.confirmed)}
        if operation.capacity == self.capacity:
            return self
        return replace(self, capacity=operation.capacity, version=self.version + 1)._with()

    def shows(self, operation: Operation) -> Seen:
        """What an answer read now says."""
        event = {
            "capacity": self.capacity,
            "confirmedCount": len(self.confirmed),
            "waitlistCount": len(self.line),
            "version": self.version,
        }
        if operation.name == "updateEvent":
            return event
        position = self.line.index(operation.who) + 1 if operation.who in self.line else None
        held = "CONFIRMED" if operation.who in self.confirmed else "CANCELLED"
        return {"status": "WAITLISTED" if position else held, "waitlistPosition": position, "event": event}

    def _with(
        self,
        confirmed: tuple[str, ...] | None = None,
        line: tuple[str, ...] | None = None,
        come: Iterable[str] = (),
        left: Iterable[str] = (),
    ) -> "Seats":
        """The same, once the first in line have taken the free seats."""
        confirmed = self.confirmed if confirmed is None else confirmed
        line = self.line if line is None else line
        free = len(line) if self.capacity is None else self.capacity - len(confirmed)
        gone = (self.gone - {*come}) | {*left}
        return replace(self, confirmed=confirmed + line[:free], line=line[free:], gone=gone)


@dataclass
class History:
    operations: list[Operation] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def asks(
        self,
        person: Person,
        name: str,
        event_id: str,
        capacity: int | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> str | None:
        """Sends the operation, and writes down what became of it: the code that was told, None where it is done."""
        asking = Person(http or person.http, person.username)
        asking.token = person.token
        operation = Operation(name, event_id, person.id, capacity, called=time.monotonic())
        self.operations.append(operation)
        return await self._answer(operation, asking.asks(DOCUMENTS[name], id=event_id, n=capacity))

    async def _answer(self, operation: Operation, asked: Awaitable[Answer]) -> str | None:
        try:
            answer = await asked
        except httpx.TransportError:
            return NO_ANSWER
        operation.returned = time.monotonic()
        if answer.code is None:
            operation.answer = answer.data[operation.name]
        elif answer.code == "UNAVAILABLE":
            self.operations.remove(operation)  # nothing was done
        elif answer.code != "INTERNAL":
            said = answer.errors[0]["extensions"]
            operation.answer = {key: said[key] for key in ("code", "confirmed") if key in said}
        self._news.set()
        return answer.code

    async def reaches(self, answered: int) -> None:
        """Waits until so many operations have an answer."""
        while sum(operation.answer is not None for operation in self.operations) < answered:
            self._news.clear()
            await self._news.wait()

    def of(self, event_id: str) -> list[Operation]:
        return [operation for operation in self.operations if operation.event_id == event_id]


def explained(start: Seats, operations: Sequence[Operation], end: Seats) -> bool:
    """Whether the rules explain every answer and the end.

    An operation is two steps, each at one moment: it is done, and then the answer is read. Others may come between.
    """
    operations = sorted(operations, key=lambda operation: operation.returned)
    hopeless: set[tuple[tuple[int, ...], Seats]] = set()

    def goes_on(steps: tuple[int, ...], seats: Seats) -> bool:
        # Reading changes nothing, so that an answer which fits now may as well be read now.
        steps = tuple(
            2 if step == 1 and seats.shows(operation) == operation.answer else step
            for step, operation in zip(steps, operations, strict=True)
        )
        over_by = next((o.returned for o, step in zip(operations, steps, strict=True) if step < 2), math.inf)
        if over_by == math.inf and seats == end:
            return True  # what has no answer and is not done yet never will be
        if (steps, seats) in hopeless:
            return False
        hopeless.add((steps, seats))
        for number, operation in enumerate(operations):
            if steps[number] or operation.called > over_by:
                continue
            after = seats.after(operation)
            if isinstance(after, Seats):
                done = 2 if operation.answer is None else 1
                possible = not operation.was_refused
            else:
                done, possible, after = 2, after == operation.answer, seats
            if possible and goes_on((*steps[:number], done, *steps[number + 1 :]), after):
                return True
        return False

    return goes_on((0,) * len(operations), start)


@dataclass
class Snapshot:
    """The events with their places, as they stood at one moment."""

    events: dict[str, list[models.Row]]

    @classmethod
    async def take(cls) -> "Snapshot":
        return cls.of(await query(ROWS, []))

    @classmethod
    async def take_last(cls) -> "Snapshot":
        """Once nothing is under way any more: what a killed server committed may still be on its way into the rows."""
        async with in_transaction():
            await models.Event.all().order_by("id").select_for_update()
            return await cls.take()

    @classmethod
    def of(cls, rows: Iterable[models.Row]) -> "Snapshot":
        events: dict[str, list[models.Row]] = {}
        for row in rows:
            events.setdefault(str(row["event_id"]), []).append(row)
        return cls(events)

    def places(self, event_id: str) -> dict[str, str]:
        """Who has which status."""
        return {str(row["user_id"]): row["status"] for row in self.events[event_id] if row["user_id"]}

    def seats(self, event_id: str) -> Seats:
        event, places = self.events[event_id][0], self.places(event_id)

        def having(status: str) -> tuple[str, ...]:
            return tuple(who for who, held in places.items() if held == status)

        gone = frozenset(having("CANCELLED"))
        return Seats(event["capacity"], having("CONFIRMED"), having("WAITLISTED"), gone, event["version"])

    def faults(self) -> list[str]:
        """Every breach of the laws of models/rsvp.py."""
        return [f"{event_id}: {fault}" for event_id, rows in self.events.items() for fault in _faults(rows)]


def _faults(rows: list[models.Row]) -> Iterable[str]:
    event, places = rows[0], [row for row in rows if row["user_id"]]
    tickets = {status: [row["ticket"] for row in places if row["status"] == status] for status in models.RsvpStatus}
    confirmed, waiting = tickets[models.RsvpStatus.CONFIRMED], tickets[models.RsvpStatus.WAITLISTED]
    capacity = math.inf if event["capacity"] is None else event["capacity"]
    if len(confirmed) > capacity:
        yield f"{len(confirmed)} are confirmed for {capacity} seats"
    if (event["confirmed_count"], event["waitlist_count"]) != (len(confirmed), len(waiting)):
        counted = f"{event['confirmed_count']} and {event['waitlist_count']}"
        yield f"{counted} are counted, {len(confirmed)} and {len(waiting)} there"
    if waiting and len(confirmed) < capacity and event["event_status"] == models.EventStatus.SCHEDULED:
        yield f"{len(waiting)} wait while {capacity - len(confirmed)} seats are free"
    if waiting and confirmed and max(confirmed) > min(waiting):
        yield f"ticket {max(confirmed)} is confirmed, {min(waiting)} was skipped"
    for what, values in (("user", [row["user_id"] for row in places]), ("ticket", [row["ticket"] for row in places])):
        for value, times in Counter(values).items():
            if times > 1:
                yield f"{what} {value} is there {times} times"
    if any(row["ticket"] > event["tickets"] for row in places):
        yield f"a ticket is beyond the last, {event['tickets']}"


def lost(operations: Sequence[Operation], places: dict[str, str]) -> list[str]:
    """Who was answered what the rows do not hold."""
    found = []
    for who in {operation.who for operation in operations if operation.name != "updateEvent"}:
        theirs = [one for one in operations if one.who == who and one.name != "updateEvent" and not one.was_refused]
        last = [one for one in theirs if not any(one.returned < o.called and o.answer is not None for o in theirs)]
        possible = {held for one in last for held in _HELD_AFTER[one.name]}
        if not any(one.answer is not None for one in theirs):
            possible |= {"CONFIRMED", "WAITLISTED", "CANCELLED", None}
        taken = [one for one in theirs if one.name == "rsvp" and one.answer is not None]
        unknown_to = [
            one
            for one in operations
            if one.who == who
            and one.answer == {"code": "NOT_FOUND"}
            and any(earlier.returned < one.called for earlier in taken)
        ]
        if places.get(who) not in possible or unknown_to:
            found.append(f"{who} has {places.get(who)}, and was answered otherwise: {theirs + unknown_to}")
    return found


_HELD_AFTER: dict[str, tuple[str | None, ...]] = {"rsvp": ("CONFIRMED", "WAITLISTED"), "cancelRsvp": ("CANCELLED",)}
