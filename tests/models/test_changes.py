"""Changes are told after the commit, and those of one event in the order of their commits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

import models
from models.changes import Change, ChangeKind, EventChanged, RsvpChanged, listen, told_transaction
from tests.people import Person


@pytest.fixture
async def told(app: Any) -> AsyncIterator[list[Change]]:
    changes: list[Change] = []
    stop = listen(changes.append)
    yield changes
    stop()


async def fails_at_the_end(event_id: str) -> None:
    async with told_transaction() as changes:
        event = await models.Event.locked(event_id)
        await event.write(changes, ChangeKind.UPDATED, title="Never")
        raise RuntimeError


async def test_a_transaction_that_is_rolled_back_tells_nothing(told: list[Change], ana: Person) -> None:
    event = await ana.creates_event()
    told.clear()

    with pytest.raises(RuntimeError):
        await fails_at_the_end(event["id"])

    assert told == []
    assert (await ana.sees(event))["title"] == event["title"]


async def test_a_refused_mutation_tells_nothing(told: list[Change], ana: Person, ben: Person) -> None:
    event = await ana.creates_event()
    told.clear()
    await ben.updates(event, title="Mine")
    await ana.updates(event, title=event["title"])

    assert told == []


async def test_what_is_told_can_be_read_by_another_connection(ana: Person, app: Any) -> None:
    found = []
    reads: list[asyncio.Task[Any]] = []

    def look(change: Change) -> None:
        async def read() -> None:
            found.append(await models.Event.read(change.event_id, ["title"]))

        reads.append(asyncio.get_running_loop().create_task(read()))

    stop = listen(look)
    await ana.creates_event(title="Talk")
    await asyncio.gather(*reads)
    stop()

    assert found == [{"title": "Talk"}]


async def test_changes_of_an_event_are_told_in_the_order_of_their_commits(
    told: list[Change], ana: Person, ben: Person
) -> None:
    event = await ana.creates_event(capacity=1)
    told.clear()
    now = datetime.now(UTC)

    async def take_and_give(person: Person) -> None:
        for _ in range(5):
            await models.Rsvp.take(event["id"], user_id=person.id, now=now)
            await models.Rsvp.give_up(event["id"], user_id=person.id, now=now)

    async def amend(number: int) -> None:
        await models.Event.amend(event["id"], {"title": f"Talk {number}"}, editor_id=ana.id, now=now)

    await asyncio.gather(take_and_give(ana), take_and_give(ben), *map(amend, range(20)))

    changes = [change for change in told if isinstance(change, EventChanged)]
    rows = [[change.before, change.after] for change in changes]
    assert len(changes) >= 40
    assert [before for before, _ in rows[1:]] == [after for _, after in rows[:-1]]


async def test_changes_can_travel_as_json(told: list[Change], ana: Person) -> None:
    event = await ana.creates_event(
        startsAt="2026-03-01T10:00:00+09:00", timeZone="Asia/Seoul", tags=["책"], capacity=1
    )
    await ana.rsvps(event)

    assert {type(change) for change in told} == {EventChanged, RsvpChanged}
    assert orjson.loads(orjson.dumps(told[0]))["after"]["tags"] == ["책"]


async def test_a_raised_capacity_is_told_as_one_change(ana: Person, ben: Person) -> None:
    """What stood between the new capacity and the line let in was never committed."""
    event = await ana.creates_event(capacity=1)
    await ana.rsvps(event)
    await ben.rsvps(event)
    told: list[Change] = []
    stop = listen(told.append)

    await ana.updates(event, capacity=2)

    stop()
    (change,) = [one for one in told if isinstance(one, EventChanged)]
    assert change.before is not None
    assert change.after is not None
    seats = ("capacity", "confirmed_count", "waitlist_count", "version")
    assert [change.before[name] for name in seats] == [1, 1, 1, 1]
    assert [change.after[name] for name in seats] == [2, 2, 0, 2]
