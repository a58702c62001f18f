"""Seats under all that can happen at once: hundreds of requests, several servers, one of them killed in the middle."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

import models
from auth import Accounts
from settings import Settings
from tests.conftest import Server
from tests.journeys.history import NO_ANSWER, History, Operation, Seats, Snapshot, explained, lost
from tests.people import Person

SMALL_EVENTS = 6
GUESTS, CROWD = 6, 70
SEATS = 20  # of the large event


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def people(settings: Settings, number: int, http: httpx.AsyncClient) -> list[Person]:
    """Signed in, without the cost of their passwords."""
    now = datetime.now(UTC)
    named = [f"guest{n}" for n in range(number)]
    users = [
        models.User(email=n, email_key=n, username=n, username_key=n, password_hash="", created_at=now) for n in named
    ]
    await models.User.bulk_create(users)
    sessions, signed_in = Accounts(settings).sessions, []
    for user in users:
        person = Person(http, user.username)
        person.id, person.token = str(user.id), (await sessions.start(user.id, now))[1].access_token
        signed_in.append(person)
    return signed_in


async def event(creator: Person, capacity: int) -> str:
    said = models.EventInput(title="A talk", description="", tags=[], location="", capacity=capacity)
    return str((await models.Event.publish(said, creator_id=creator.id, now=datetime.now(UTC)))["id"])


class Storm:
    """Clients that ask servers, each one thing after another, and all of them at once."""

    def __init__(self, servers: Sequence[Server], history: History, seed: int) -> None:
        self.history = history
        self.servers = list(servers)
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.faults: list[str] = []  # seen while it raged
        self.codes: set[str | None] = set()
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def client(self, person: Person, event_id: str, asked: Sequence[tuple[str, int | None]]) -> None:
        for name, capacity in asked:
            server = self.chance.choice(self.servers)
            self.codes.add(await self.history.asks(person, name, event_id, capacity, self._clients[server.url]))

    async def rages(self, clients: Sequence[Any], kill_at: int) -> Server:
        """Runs the clients, and kills a server once so many operations are answered. Answers with that server.

        All the while it looks at the rows: the laws hold at every moment.
        """
        async with AsyncExitStack() as stack:
            for server in self.servers:
                limits = httpx.Limits(max_connections=200)
                client = httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30)
                self._clients[server.url] = await stack.enter_async_context(client)
            raging = asyncio.gather(*clients)
            await self.history.reaches(kill_at)
            killed = self.servers.pop()
            await killed.stop(signal.SIGKILL)
            while not raging.done():
                self.faults += (await Snapshot.take()).faults()
                await asyncio.wait([raging], timeout=0.02)
            await raging
        return killed


async def test_the_history_is_one_that_the_rules_explain(
    make_server: Callable[..., Server], database: Settings, http: httpx.AsyncClient
) -> None:
    servers = [make_server() for _ in range(2 if database.database_url.startswith("sqlite") else 3)]
    await asyncio.gather(*(server.start() for server in servers))
    ana, *guests = await people(database, 1 + CROWD, http)
    large, *small = [await event(ana, SEATS)] + [await event(ana, capacity=2) for _ in range(SMALL_EVENTS)]
    history = History()
    storm = Storm(servers, history, seed=4)
    chance = storm.chance

    clients = []
    for number, event_id in enumerate(small):
        few = guests[number * GUESTS :][:GUESTS]
        for guest in (*few, few[0]):  # who uses two devices
            clients.append(
                storm.client(guest, event_id, [("rsvp", None), (chance.choice(["rsvp", "cancelRsvp"]), None)])
            )
        clients.append(storm.client(ana, event_id, [("updateEvent", chance.choice([1, 3, 4, None])) for _ in range(2)]))
    for guest in guests:
        clients.append(storm.client(guest, large, [("rsvp", None), ("cancelRsvp", None), ("rsvp", None)]))
    clients.append(storm.client(ana, large, [("updateEvent", SEATS + n) for n in (1, 0, 5, 3, 10, 2, 10)]))
    chance.shuffle(clients)

    killed = await storm.rages(clients, kill_at=80)
    await killed.start()  # it comes back as if nothing had been

    rows = await Snapshot.take_last()
    assert storm.faults + rows.faults() == []
    for event_id in (large, *small):
        assert lost(history.of(event_id), rows.places(event_id)) == []
    for event_id in small:
        operations = history.of(event_id)
        assert explained(Seats(capacity=2), operations, rows.seats(event_id)), (operations, rows.seats(event_id))
    assert storm.codes <= {None, NO_ANSWER, "NOT_FOUND", "CAPACITY_BELOW_CONFIRMED"}
    unknown = [operation for operation in history.operations if operation.answer is None]
    assert 0 < len(unknown) < len(history.operations) / 2  # some were under way when their server died
    async with httpx.AsyncClient(base_url=killed.url) as again:
        answer = await Person(again).asks("query ($id: ID!) { event(id: $id) { confirmedCount } }", id=large)
        assert answer.data["event"]["confirmedCount"] == len(rows.seats(large).confirmed)


def told(start: Seats, *said: tuple[str, str, int | None], at: float = 0) -> list[Operation]:
    """A history without haste, as the rules answer it: each operation is over before the next one begins."""
    operations, seats = [], start
    for name, who, capacity in said:
        operation = Operation(name, "e", who, capacity, called=at, returned=at + 1)
        after = seats.after(operation)
        seats = after if isinstance(after, Seats) else seats
        operation.answer = seats.shows(operation) if isinstance(after, Seats) else after
        operations.append(operation)
        at += 2
    return operations


ONE_SEAT = Seats(capacity=1)
RIGHT = told(ONE_SEAT, ("rsvp", "ana", None), ("rsvp", "ben", None), ("rsvp", "cho", None), ("cancelRsvp", "ana", None))
RIGHT_END = Seats(capacity=1, confirmed=("ben",), line=("cho",), gone=frozenset({"ana"}))


def changed(number: int, **answer: Any) -> list[Operation]:
    """The right history, but for what one answer says."""
    wrong = [*RIGHT]
    wrong[number] = replace(wrong[number], answer={**(wrong[number].answer or {}), **answer})
    return wrong


def test_the_checker_takes_a_right_history() -> None:
    assert explained(ONE_SEAT, RIGHT, RIGHT_END)
    assert explained(ONE_SEAT, [replace(one, called=0, returned=9) for one in RIGHT], RIGHT_END)
    assert lost(RIGHT, {"ana": "CANCELLED", "ben": "CONFIRMED", "cho": "WAITLISTED"}) == []


@pytest.mark.parametrize(
    ("wrong", "end"),
    [
        pytest.param(changed(1, status="CONFIRMED", waitlistPosition=None), RIGHT_END, id="told of two on one seat"),
        pytest.param(changed(2, waitlistPosition=1), RIGHT_END, id="told to stand before another"),
        pytest.param(RIGHT, replace(RIGHT_END, confirmed=("ben", "cho"), line=()), id="overbooked"),
        pytest.param(RIGHT, replace(RIGHT_END, confirmed=("cho",), line=("ben",)), id="skipped"),
        pytest.param(RIGHT, replace(RIGHT_END, confirmed=(), line=("ben", "cho")), id="left waiting at a free seat"),
        pytest.param(RIGHT, replace(RIGHT_END, line=()), id="an answered rsvp lost"),
        pytest.param(RIGHT, replace(RIGHT_END, confirmed=("ana",), line=("ben", "cho")), id="an answered cancel lost"),
        pytest.param(RIGHT, replace(RIGHT_END, capacity=2), id="a capacity that nobody asked for"),
        pytest.param(
            [replace(RIGHT[0], called=3, returned=4), replace(RIGHT[1], called=0, returned=1), *RIGHT[2:]],
            RIGHT_END,
            id="whoever came first was put behind",
        ),
    ],
)
def test_the_checker_refuses_a_wrong_history(wrong: list[Operation], end: Seats) -> None:
    assert not explained(ONE_SEAT, wrong, end)


@pytest.mark.parametrize("end", [Seats(1, confirmed=("ana",)), Seats(1, confirmed=("ana",), line=("ben",))])
def test_the_checker_leaves_open_what_had_no_answer(end: Seats) -> None:
    unknown = Operation("rsvp", "e", "ben", called=5)

    assert explained(ONE_SEAT, [RIGHT[0], unknown], end)
    assert not explained(ONE_SEAT, [RIGHT[0], unknown], replace(end, line=("cho",)))
    assert not explained(ONE_SEAT, [RIGHT[0], unknown], Seats(1, confirmed=("ben",), line=("ana",)))  # it came later


@pytest.mark.parametrize(
    ("places", "event", "fault"),
    [
        (
            [("ana", "CONFIRMED", 1), ("ben", "CONFIRMED", 2)],
            {"confirmed_count": 2, "waitlist_count": 0},
            "2 are confirmed for 1 seats",
        ),
        ([("ana", "CONFIRMED", 2), ("ben", "WAITLISTED", 1)], {}, "ticket 2 is confirmed, 1 was skipped"),
        ([("ana", "CANCELLED", 1), ("ben", "WAITLISTED", 2)], {"confirmed_count": 0}, "1 wait while 1 seats are free"),
        ([("ana", "CONFIRMED", 1)], {}, "1 and 1 are counted, 1 and 0 there"),
        ([("ana", "CONFIRMED", 1), ("ana", "WAITLISTED", 2)], {}, "user ana is there 2 times"),
        ([("ana", "CONFIRMED", 1), ("ben", "WAITLISTED", 3)], {}, "a ticket is beyond the last, 2"),
        ([("ana", "CONFIRMED", 1), ("ben", "WAITLISTED", 2)], {}, None),
    ],
)
def test_the_checker_sees_broken_laws(
    places: list[tuple[str, str, int]], event: dict[str, int], fault: str | None
) -> None:
    stands = {"event_id": "e", "event_status": "SCHEDULED", "capacity": 1, "version": 1, "tickets": 2}
    counts = {"confirmed_count": 1, "waitlist_count": 1, **event}
    rows = [{**stands, **counts, "user_id": who, "status": status, "ticket": n} for who, status, n in places]

    assert Snapshot.of(rows).faults() == ([f"e: {fault}"] if fault else [])


def test_the_checker_misses_nobody_who_was_answered() -> None:
    places = {"ana": "CANCELLED", "ben": "CONFIRMED", "cho": "WAITLISTED"}

    for who, status in (("ana", "CONFIRMED"), ("ben", "CANCELLED"), ("cho", "CANCELLED")):
        assert len(lost(RIGHT, {**places, who: status})) == 1
    assert len(lost(RIGHT, {"ana": "CANCELLED"})) == 2
    unknown_to_it = Operation("cancelRsvp", "e", "cho", called=9, returned=10, answer={"code": "NOT_FOUND"})
    assert len(lost([*RIGHT, unknown_to_it], places)) == 1
