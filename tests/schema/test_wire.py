"""Changes between processes: nothing of them is lost, and the number of an event's state counts its commits."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import orjson
import pytest

from models.changes import Change, ChangeKind, EventChanged, RsvpChanged, listen
from schema.wire import ChangeWire
from tests.people import PASSWORD, Person

wire = ChangeWire()


@pytest.fixture
def told() -> Iterator[list[Change]]:
    changes: list[Change] = []
    stop = listen(changes.append)
    yield changes
    stop()


def read_again(change: Change) -> Change:
    return wire.read(orjson.loads(orjson.dumps(wire.write(change))))


async def everything_happens(organiser: Person, *guests: Person) -> dict[str, object]:
    """To an event, of which the last thing is that it is deleted."""
    first, second = guests
    event = await organiser.creates_event(
        capacity=1, tags=["a", "b"], startsAt="2030-05-01T18:00:00.5Z", timeZone="Asia/Seoul", location="역삼"
    )
    await first.rsvps(event)
    await second.rsvps(event)  # waits
    await organiser.rsvps(event)  # waits too
    await first.cancels_rsvp(event)  # the second is let in
    await first.rsvps(event)
    await first.cancels_rsvp(event)  # leaves the line
    await organiser.updates(event, title="Another title")
    await organiser.updates(event, title="Another title")  # nothing changes
    await organiser.updates(event, capacity=5)  # the organiser is let in
    forgets = f'mutation {{ deleteAccount(password: "{PASSWORD}") {{ deletedId }} }}'
    assert (await second.asks(forgets)).code is None  # and gives a seat up by it
    await organiser.asks("mutation ($id: ID!) { cancelEvent(id: $id) { id } }", id=event["id"])
    await organiser.cancels_rsvp(event)
    await organiser.asks("mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }", id=event["id"])
    return event


async def test_each_commit_takes_its_event_to_the_next_number(
    ana: Person, ben: Person, anybody: Person, told: list[Change]
) -> None:
    await anybody.signs_up()
    await everything_happens(ana, ben, anybody)

    events = [change for change in told if isinstance(change, EventChanged)]
    places = [wire.place(change) for change in events]
    assert [(place.begins, place.ends) for place in places] == [(n, n + 1) for n in range(len(places))]
    assert len(places) == 13
    assert [change.kind for change in events][-3:] == [ChangeKind.CANCELLED, ChangeKind.UPDATED, ChangeKind.DELETED]


async def test_what_is_told_of_places_is_followed_by_what_is_told_of_their_event(
    ana: Person, ben: Person, anybody: Person, told: list[Change]
) -> None:
    await anybody.signs_up()
    await everything_happens(ana, ben, anybody)

    assert isinstance(told[-1], EventChanged)
    for change, following in pairwise(told):
        assert wire.place(following).line == wire.place(change).line
        assert isinstance(change, EventChanged) == (wire.place(change).begins is not None)
    assert sum(isinstance(change, RsvpChanged) for change in told) == 10


async def test_changes_are_read_as_they_were_written(
    ana: Person, ben: Person, anybody: Person, told: list[Change]
) -> None:
    await anybody.signs_up()
    await everything_happens(ana, ben, anybody)

    assert [read_again(change) for change in told] == told
    created = read_again(told[0])
    assert isinstance(created, EventChanged)
    assert created.after
    assert created.after["starts_at"] == datetime(2030, 5, 1, 18, 0, 0, 500_000, tzinfo=UTC)


async def test_a_release_that_lacks_a_column_is_understood(ana: Person, told: list[Change]) -> None:
    await ana.creates_event()
    written = orjson.loads(orjson.dumps(wire.write(told[0])))
    del written[3]["waitlist_count"], written[3]["image"]

    assert wire.read(written) == told[0]


@pytest.mark.parametrize(
    "written", [None, 5, [], ["UPDATED", "id", None], ["UPDATED", "id", [], None], ["BURNT", "id", None, None]]
)
def test_what_is_no_change_is_refused(written: object) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        wire.read(written)
