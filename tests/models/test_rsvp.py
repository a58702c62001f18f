"""The laws of models/rsvp.py, under all that can happen at once in one process."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

import models
from errors import EventCancelled, NotFound, Refusal, TokenRevoked
from models.changes import Change, EventChanged, RsvpChanged, listen
from models.reads import Condition, dialect, query, select
from settings import Settings
from tests.journeys.history import Snapshot

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def users(number: int) -> list[str]:
    made = [
        models.User(email=n, email_key=n, username=n, username_key=n, password_hash="", created_at=NOW)
        for n in (f"guest{n}" for n in range(number))
    ]
    await models.User.bulk_create(made)
    return [str(user.id) for user in made]


async def event(creator_id: str, capacity: int | None) -> str:
    said = models.EventInput(title="A talk", description="", tags=["a"], location="", capacity=capacity)
    return str((await models.Event.publish(said, creator_id=creator_id, now=NOW))["id"])


async def take(event_id: str, user_id: str, now: datetime = NOW) -> str:
    return str((await models.Rsvp.take(event_id, user_id=user_id, now=now))["id"])


async def give_up(event_id: str, user_id: str, now: datetime = NOW) -> str:
    return str((await models.Rsvp.give_up(event_id, user_id=user_id, now=now))["id"])


async def resize(event_id: str, capacity: int | None, editor_id: str) -> None:
    await models.Event.amend(event_id, {"capacity": capacity}, editor_id=editor_id, now=NOW)


async def at_once(*asked: Awaitable[Any]) -> Counter[str]:
    """How many were done, and refused with which code. A fault is none of both: it is raised."""
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Refusal):
            raise outcome
    return Counter(outcome.code.value if isinstance(outcome, Refusal) else "done" for outcome in outcomes)


async def stand(event_id: str) -> tuple[int, int]:
    """How many are confirmed and how many wait, where the laws hold."""
    rows = await Snapshot.take()
    assert rows.faults() == []
    seats = rows.seats(event_id)
    return len(seats.confirmed), len(seats.line)


async def line(event_id: str, among: Sequence[str]) -> list[int]:
    """Who waits, in order, by their number among the people."""
    return [among.index(user_id) for user_id in (await Snapshot.take()).seats(event_id).line]


async def confirmed(event_id: str, among: Sequence[str]) -> list[int]:
    return [among.index(user_id) for user_id in (await Snapshot.take()).seats(event_id).confirmed]


async def test_two_hundred_at_once_on_ten_seats(database: Settings) -> None:
    ana, *guests = await users(201)
    talk = await event(ana, 10)

    assert await at_once(*(take(talk, guest) for guest in guests)) == {"done": 200}
    assert await stand(talk) == (10, 190)
    assert len(await all_places(talk)) == 200


async def test_one_guest_on_many_devices_holds_one_place(database: Settings) -> None:
    ana, ben = await users(2)
    talk = await event(ana, 1)

    taken = await asyncio.gather(*(take(talk, guest) for guest in (ana, ben) for _ in range(10)))
    assert len(set(taken)) == 2
    assert await stand(talk) == (1, 1)
    await at_once(*(ask(talk, guest) for guest in (ana, ben) for ask in (take, give_up) * 10))
    await stand(talk)
    assert set(await all_places(talk)) == set(taken)


async def test_a_seat_given_up_twice_at_once_is_freed_once(database: Settings) -> None:
    ana, *guests = await users(41)
    talk = await event(ana, 10)
    for guest in guests:
        await take(talk, guest)

    assert await at_once(*(give_up(talk, guest) for guest in guests[:10] for _ in range(2))) == {"done": 20}
    assert await stand(talk) == (10, 20)
    assert await confirmed(talk, guests) == [*range(10, 20)]
    assert await line(talk, guests) == [*range(20, 40)]


async def test_the_line_is_in_the_order_of_tickets_whatever_the_clocks_say(database: Settings) -> None:
    """Several servers' clocks differ, and one that is corrected goes back."""
    ana, *guests = await users(6)
    talk = await event(ana, 1)
    for number, guest in enumerate(guests):
        await take(talk, guest, NOW - timedelta(seconds=number))
    await give_up(talk, guests[2], NOW - timedelta(days=1))
    await take(talk, guests[2], NOW - timedelta(days=2))  # back, and now last

    assert await line(talk, guests) == [1, 3, 4, 2]
    for leaves, remain in ((0, [3, 4, 2]), (1, [4, 2]), (3, [2])):
        await give_up(talk, guests[leaves])
        assert await line(talk, guests) == remain
        assert await stand(talk) == (1, len(remain))


async def test_capacity_grows_while_people_leave_and_come(database: Settings) -> None:
    ana, *guests = await users(61)
    talk = await event(ana, 5)
    for guest in guests[:40]:
        await take(talk, guest)

    await at_once(
        *(give_up(talk, guest) for guest in guests[:40:2]),
        *(take(talk, guest) for guest in guests[40:]),
        *(resize(talk, capacity, ana) for capacity in (6, 8, 7, 12, 10, 15)),
    )
    held, waiting = await stand(talk)
    assert held + waiting == 40
    await resize(talk, None, ana)
    assert await stand(talk) == (40, 0)


async def test_an_event_deleted_while_people_come_leaves_nothing_behind(database: Settings) -> None:
    ana, *guests = await users(41)
    talk, other = await event(ana, 5), await event(ana, 5)

    outcomes = await at_once(
        *(take(talk, guest) for guest in guests[:20]),
        models.Event.remove(talk, editor_id=ana),
        *(take(talk, guest) for guest in guests[20:]),
        *(give_up(talk, guest) for guest in guests),
        *(take(other, guest) for guest in guests),
    )
    assert outcomes.keys() == {"done", "NOT_FOUND"}
    assert await all_places(talk) == []
    assert await stand(other) == (5, 35)
    with pytest.raises(NotFound):
        await take(talk, ana)


async def test_an_event_cancelled_while_people_come_takes_no_more(database: Settings) -> None:
    ana, *guests = await users(41)
    talk = await event(ana, 5)

    outcomes = await at_once(
        *(take(talk, guest) for guest in guests[:20]),
        models.Event.cancel(talk, editor_id=ana, now=NOW),
        *(take(talk, guest) for guest in guests[20:]),
    )
    held, waiting = await stand(talk)
    assert outcomes == {"done": held + waiting + 1, "EVENT_CANCELLED": 40 - held - waiting}
    with pytest.raises(EventCancelled):
        await take(talk, ana)


async def test_who_has_no_account_any_more_takes_no_seat(database: Settings) -> None:
    ana, ben = await users(2)
    talk = await event(ana, 5)
    await models.User.filter(id=ben).delete()

    with pytest.raises(TokenRevoked):
        await take(talk, ben)
    assert await stand(talk) == (0, 0)


async def test_each_change_of_seats_is_told_with_the_whole_event(database: Settings) -> None:
    ana, ben = await users(2)
    talk = await event(ana, 1)
    rows = [(await models.Event.get(id=talk)).row]
    told: list[Change] = []
    stop = listen(told.append)

    for ask, guest in ((take, ana), (take, ben), (give_up, ana), (give_up, ben)):
        await ask(talk, guest)
        rows.append((await models.Event.get(id=talk)).row)
    stop()

    of_event = [change for change in told if isinstance(change, EventChanged)]
    assert [(change.before, change.after) for change in of_event] == [*pairwise(rows)]
    of_places = [(change.user_id, change.status) for change in told if isinstance(change, RsvpChanged)]
    assert of_places == [
        (ana, "CONFIRMED"), (ben, "WAITLISTED"), (ana, "CANCELLED"), (ben, "CONFIRMED"), (ben, "CANCELLED"),
    ]  # fmt: skip


async def test_five_thousand_are_let_in_by_a_handful_of_statements(
    database: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    ana, *guests = await users(5_001)
    talk = await event(ana, 1)
    places = [
        models.Rsvp(event_id=talk, user_id=guest, ticket=number, updated_at=NOW, status="WAITLISTED")
        for number, guest in enumerate(guests, 1)
    ]
    places[0].status = "CONFIRMED"
    await models.Rsvp.bulk_create(places)
    await models.Event.filter(id=talk).update(confirmed_count=1, waitlist_count=4_999, tickets=5_000)
    assert await stand(talk) == (1, 4_999)

    with caplog.at_level(logging.DEBUG, "tortoise.db_client"):
        await resize(talk, 4_000, ana)
    statements = [record for record in caplog.records if record.name == "tortoise.db_client"]
    assert 3 <= len(statements) <= 5  # lock the event, change it, let them in, count
    assert await stand(talk) == (4_000, 1_000)


async def test_whatever_moment_a_request_is_cancelled_at_the_laws_hold(database: Settings) -> None:
    chance = random.Random(11)  # noqa: S311 - no secret
    ana, *guests = await users(41)
    talk = await event(ana, 5)

    async def ask_and_perhaps_be_cancelled(guest: str) -> None:
        asked = [take(talk, guest), give_up(talk, guest), resize(talk, chance.choice([30, 31, 32]), ana)]
        for ask in asked:
            task = asyncio.ensure_future(ask)
            for _ in range(chance.randrange(0, 40)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.random() * 0.01)
            if chance.random() < 0.7:
                task.cancel()
            with suppress(asyncio.CancelledError, Refusal):
                await task

    for _ in range(3):
        await asyncio.gather(*(ask_and_perhaps_be_cancelled(guest) for guest in guests))
        await stand(talk)
    async with asyncio.timeout(10):
        assert await at_once(*(take(talk, guest) for guest in guests)) == {"done": 40}
    held, waiting = await stand(talk)
    assert held + waiting == 40


async def test_a_storm_of_everything_ends_in_order_and_without_a_deadlock(database: Settings) -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    ana, *guests = await users(41)
    talks = [await event(ana, 3) for _ in range(3)]
    before = await deadlocks(database)

    def anything() -> Awaitable[Any]:
        talk, guest = chance.choice(talks), chance.choice(guests)
        what = chance.random()
        if what < 0.5:
            return take(talk, guest)
        if what < 0.8:
            return give_up(talk, guest)
        if what < 0.9:
            return resize(talk, chance.choice([3, 4, 6, 20]), ana)
        if what < 0.95:
            return models.Event.amend(talk, {"tags": [guest[-9:], "b"]}, editor_id=ana, now=NOW)
        said = models.EventInput(title="Again", description="", tags=["b"], location="")
        return models.Event.publish(said, creator_id=ana, now=NOW + timedelta(hours=chance.randrange(60)), key="k")

    outcomes = await at_once(*(anything() for _ in range(400)))  # where PostgreSQL ends a deadlock, it raises a fault
    for talk in talks:
        await stand(talk)
    assert outcomes.keys() <= {"done", "NOT_FOUND", "CAPACITY_BELOW_CONFIRMED"}
    assert outcomes["done"] > 200
    assert await deadlocks(database) == before


async def all_places(event_id: str) -> list[str]:
    return [row["id"] for row in await select(models.Rsvp, ["id"], Condition("t.event_id = ?", (UUID(event_id),)))]


async def deadlocks(settings: Settings) -> int:
    """How many PostgreSQL has ended in this database. Closes and opens it: connections report when they end."""
    await models.close_database()
    await models.open_database(settings)
    if dialect() == "sqlite":
        return 0
    rows = await query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", [])
    return int(rows[0]["deadlocks"])
