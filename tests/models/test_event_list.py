"""A list read whole, and whether it is still what it was."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import models
from models import EventFilter, EventList, EventOrder, EventOrderField, OrderDirection, matches

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANA, BEN = "019b0000-0000-7000-8000-00000000000a", "019b0000-0000-7000-8000-00000000000b"


@pytest.fixture
async def people(database: object) -> None:
    for user_id, name in ((ANA, "ana"), (BEN, "ben")):
        await models.User.create(
            id=user_id, email=name, email_key=name, username=name, username_key=name, password_hash="-", created_at=NOW
        )


async def publish(title: str, *tags: str, capacity: int | None = None, now: datetime = NOW) -> str:
    said = models.EventInput(title=title, description="", tags=list(tags), location="", capacity=capacity)
    return str((await models.Event.publish(said, creator_id=ANA, now=now))["id"])


async def test_a_stream_gives_all_of_the_list_a_chunk_at_a_time(people: None) -> None:
    for number in range(7):
        await publish(str(number), "odd" if number % 2 else "even", now=NOW + timedelta(seconds=number))

    async def chunks(events: EventList, chunk: int = 3) -> list[str]:
        return ["".join(row["title"] for row in rows) async for rows in events.stream(["title"], chunk)]

    assert await chunks(EventList.of()) == ["654", "321", "0"]
    assert await chunks(EventList.of(EventFilter.of({"tags_any": ["odd"]}))) == ["531"]
    assert await chunks(EventList.of(order=EventOrder(EventOrderField.TITLE, OrderDirection.ASC)), 4) == ["0123", "456"]
    assert await chunks(EventList.of(EventFilter.of({"tags_any": []}))) == []


async def test_a_stream_shows_nothing_twice_and_nothing_that_came_meanwhile_before_it(people: None) -> None:
    for number in range(4):
        await publish(str(number), now=NOW + timedelta(seconds=number))

    titles = []
    async for rows in EventList.of().stream(["title"], chunk=2):
        titles += [row["title"] for row in rows]
        await publish("new", now=NOW + timedelta(seconds=9))

    assert titles == ["3", "2", "1", "0"]


@pytest.mark.parametrize("few", [1, 3, 2_000])
async def test_few_and_many_are_read_alike(people: None, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(matches, "FEW", few)
    for number in range(6):
        tags = [name for name, each in (("two", 2), ("three", 3), ("all", 1)) if number % each == 0]
        await publish(f"{number} {' '.join(tags)}", *tags, now=NOW + timedelta(seconds=number))

    for said, search, found in (
        ({"tags_any": ["two"]}, None, "420"),
        ({"tags_any": ["two", "three"]}, None, "4320"),
        ({"tags_all": ["all", "two", "three"]}, None, "0"),
        ({"tags_all": ["all", "two"], "tags_any": ["three"]}, "al", "0"),
        ({"tags_any": ["two"]}, "three", "0"),
        ({}, "wo", "420"),
        ({}, "thr al", "30"),
        ({"tags_any": ["none"]}, "all", ""),
        ({"tags_any": ["all"]}, "none", ""),
    ):
        for chunk in (1, 500):
            events = EventList.of(EventFilter.of(said), search)
            titles = [row["title"][0] async for rows in events.stream(["title"], chunk) for row in rows]
            assert "".join(titles) == found, (said, search)


async def test_a_fingerprint_changes_with_the_list(people: None) -> None:
    events = EventList.of(EventFilter.of({"tags_any": ["a"], "has_seats": True}))
    seen = [await events.fingerprint()]

    async def changed() -> bool:
        seen.append(await events.fingerprint())
        return seen[-1] != seen[-2]

    async def amend(event_id: str, **columns: Any) -> None:
        await models.Event.amend(event_id, columns, editor_id=ANA, now=NOW)

    first = await publish("1", "a", capacity=1)
    assert await changed()
    second = await publish("2", "a")
    assert await changed()
    await amend(second, title="changed")
    assert await changed()
    await amend(second, title="changed")  # to what it was
    assert not await changed()
    await publish("another list's", "b")
    assert not await changed()
    await models.Rsvp.take(second, user_id=BEN, now=NOW)
    assert not await changed()
    await models.Rsvp.take(first, user_id=BEN, now=NOW)  # no seat is left: it goes from the list
    assert await changed()
    await amend(second, tags=["b"])  # likewise
    assert await changed()
    third = await publish("3", "a")
    assert await changed()
    await models.Event.cancel(third, editor_id=ANA, now=NOW)
    assert await changed()
    await models.Event.remove(third, editor_id=ANA)
    assert (await events.fingerprint()) != seen[-1]


async def test_one_that_goes_as_another_comes_changes_the_fingerprint(people: None) -> None:
    """With as many events as before, of the same versions and times."""
    events = EventList.of(EventFilter.of({"has_seats": True}))
    full, free = await publish("full", capacity=1), await publish("free", capacity=1)
    await models.Rsvp.take(full, user_id=BEN, now=NOW)
    before = await events.fingerprint()

    await models.Rsvp.give_up(full, user_id=BEN, now=NOW)
    await models.Rsvp.take(free, user_id=BEN, now=NOW)

    assert await events.fingerprint() != before
