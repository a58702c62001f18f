from typing import Any
from uuid import uuid4

import pytest

from models import EventFilter, Mine, Row
from models.changes import ChangeKind, EventChanged, RsvpChanged
from models.watch import Watch

VIEWER = str(uuid4())


def row(**changes: Any) -> Row:
    return {
        "tags": [],
        "location_key": "",
        "creator": {"id": "organiser"},
        "starts_at": None,
        "created_at": None,
        "status": "SCHEDULED",
        "capacity": 1,
        "confirmed_count": 0,
        **changes,
    }


def change(before: Row | None, after: Row | None) -> EventChanged:
    return EventChanged(ChangeKind.UPDATED, "event", before, after)


def place(status: str) -> RsvpChanged:
    return RsvpChanged("rsvp", "event", VIEWER, status)


def told(filter: EventFilter, *changes: EventChanged | RsvpChanged) -> list[bool]:
    watch = Watch(filter)
    return [watch.may_want(one) and watch.wants(one) for one in changes]


IN, OUT = row(tags=["Python"]), row(tags=["dance"])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(None, IN, True), (IN, IN, True), (IN, OUT, True), (OUT, IN, True), (IN, None, True), (OUT, OUT, False)],
)
def test_a_filter_holds_before_or_after(before: Row | None, after: Row | None, expected: bool) -> None:
    assert told(EventFilter(tags_any=("python",)), change(before, after)) == [expected]


ATTENDED = EventFilter(mine=Mine.ATTENDING, viewer_id=VIEWER)
FREE, FULL = row(), row(confirmed_count=1)


def test_an_event_is_told_of_from_the_taken_seat_to_the_one_given_up() -> None:
    changes = (
        change(FREE, FREE),
        place("CONFIRMED"),
        change(FREE, FULL),
        change(FULL, FULL),
        place("CANCELLED"),
        change(FULL, FREE),
        change(FREE, FREE),
    )

    assert told(ATTENDED, *changes) == [False, False, True, True, False, True, False]


def test_whoever_waits_does_not_attend() -> None:
    assert told(ATTENDED, place("WAITLISTED"), change(FULL, FULL)) == [False, False]


def test_a_deleted_event_is_told_of_though_its_places_are_gone() -> None:
    changes = (place("CONFIRMED"), change(FREE, FULL), change(FULL, None), change(FULL, FULL))

    assert told(ATTENDED, *changes) == [False, True, True, False]


def test_all_conditions_hold_together_at_one_time() -> None:
    attended_and_free = EventFilter(mine=Mine.ATTENDING, viewer_id=VIEWER, has_seats=True)

    # Before, the viewer did not attend; after, the one seat was taken.
    assert told(attended_and_free, place("CONFIRMED"), change(FREE, FULL)) == [False, False]
