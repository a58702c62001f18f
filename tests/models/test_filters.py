"""A filter means the same to the database as to a test of one event, whatever stands in either."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from errors import Unauthenticated, ValidationFailed
from models import EventFilter, EventList, EventStatus, Mine, RsvpStatus, matches

# Texts of few characters, so that they meet: in two cases, composed and not, folded to more than one, wild in LIKE.
CHARACTERS = "aAÉ\u0301ﬁİKK책%_ "
INSTANTS = (
    "0002-01-01T00:00:00Z",
    "2026-05-01T00:00:00Z",
    "2026-05-01T09:00:00.000001+09:00",
    "2026-05-01T00:00:00.25Z",
    "2026-06-01T12:00:00-03:30",
    "9998-12-31T23:59:59Z",
)
ANA, BEN = "019b0000-0000-7000-8000-00000000000a", "019b0000-0000-7000-8000-00000000000b"

tags = st.text(CHARACTERS, min_size=1, max_size=2).filter(str.strip)
instants = st.sampled_from(INSTANTS)


@dataclass(frozen=True)
class Happening:
    """An event, and what BEN, who filters, has to do with it."""

    said: models.EventInput
    created_at: str
    creator_id: str
    status: EventStatus
    confirmed_count: int
    place: RsvpStatus | None


happenings = st.builds(
    Happening,
    said=st.builds(
        models.EventInput,
        title=st.just("A talk"),
        description=st.just(""),
        tags=st.lists(tags, max_size=3),
        location=st.text(CHARACTERS, max_size=4),
        starts_at=st.none() | instants,
        time_zone=st.just("UTC"),
        capacity=st.none() | st.integers(1, 3),
    ),
    created_at=instants,
    creator_id=st.sampled_from([ANA, BEN]),
    status=st.sampled_from(EventStatus),
    confirmed_count=st.integers(0, 3),
    place=st.none() | st.sampled_from(RsvpStatus),
)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, str | None]:
    two = draw(st.sampled_from([(one, other) for one, other in pairwise((None, *INSTANTS, None))]) | st.none())
    if two is None:
        return draw(st.fixed_dictionaries({}, optional={"from": st.none() | instants}))
    return {"from": two[0], "before": two[1]}


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "tags_any": st.lists(tags, max_size=3),
    "tags_all": st.lists(tags, max_size=2),
    "location": st.text(CHARACTERS, max_size=2),
    "creator": st.sampled_from([ANA, BEN, BEN.upper(), "nobody", "", "\0"]),
    "starts_at": ranges(),
    "created_at": ranges(),
    "status": st.lists(st.sampled_from(EventStatus), max_size=2),
    "has_seats": st.booleans(),
    "mine": st.sampled_from(Mine),
}
# Few fields in one, else no event has them all.
filters = st.lists(st.sampled_from(list(FIELDS)), max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: st.none() | FIELDS[name] for name in names})
)


@pytest.fixture
async def people(database: object) -> None:
    for user_id, name in ((ANA, "ana"), (BEN, "ben")):
        await models.User.create(
            id=user_id,
            email=name,
            email_key=name,
            username=name,
            username_key=name,
            password_hash="-",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )


async def happen(happening: Happening) -> str:
    created_at = datetime.fromisoformat(happening.created_at).astimezone(UTC)
    event_id: str = (await models.Event.publish(happening.said, creator_id=happening.creator_id, now=created_at))["id"]
    await models.Event.filter(id=event_id).update(
        status=happening.status.value, confirmed_count=happening.confirmed_count
    )
    if happening.place:
        await models.Rsvp.create(
            event_id=event_id, user_id=BEN, status=happening.place.value, ticket=1, updated_at=created_at
        )
    return event_id


@given(
    happened=st.lists(happenings, min_size=1, max_size=5),
    said=st.lists(filters, min_size=1, max_size=12),
    few=st.sampled_from([1, 2, matches.FEW]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_condition_and_test_in_memory_agree(
    people: None, happened: list[Happening], said: list[dict[str, Any]], few: int
) -> None:
    await models.Event.all().delete()
    ids = {await happen(happening): happening for happening in happened}
    rows = {event_id: (await models.Event.get(id=event_id)).row for event_id in ids}

    for one in (EventFilter.of(one, BEN) for one in said):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(matches, "FEW", few)  # else these are always few: see models/matches.py
            events = EventList.of(one)
        found = [row["id"] async for chunk in events.stream(["id"], chunk=2) for row in chunk]
        held = [
            event_id
            for event_id, happening in ids.items()
            if one.holds(rows[event_id], attends=happening.place is RsvpStatus.CONFIRMED)
        ]
        assert sorted(found) == sorted(held), one
        assert await EventList.counts([events]) == [len(held)]
        assert EventFilter.from_json(orjson.loads(orjson.dumps(one.as_json()))) == one


@pytest.mark.parametrize(
    ("location", "said", "holds"),
    [
        ("STRASSE 5", "straße", True),
        ("Café", "CAFE\u0301", True),
        ("Cafe", "café", False),
        ("Ｇｏｏｇｌｅ Meet", "google m", True),
        ("İstanbul", "i\u0307stanbul", True),
        ("서울 강남구", "강남", True),
        ("100% here", "0%", True),
        ("100 here", "1%0", False),
        ("a_b", "A_", True),
        ("axb", "a_", False),
        ("back\\slash", "\\", True),
    ],
)
async def test_a_location_is_found_by_a_part_in_any_case(people: None, location: str, said: str, holds: bool) -> None:
    talk = models.EventInput(title="A talk", description="", tags=[], location=location)
    event_id = (await models.Event.publish(talk, creator_id=ANA, now=datetime(2026, 1, 1, tzinfo=UTC)))["id"]

    assert await found_by(location=said) == holds
    assert EventFilter.of({"location": said}).holds((await models.Event.get(id=event_id)).row) == holds


async def found_by(**said: Any) -> int:
    (count,) = await EventList.counts([EventList.of(EventFilter.of(said))])
    return count


async def test_what_empty_lists_and_ranges_mean(people: None) -> None:
    talk = models.EventInput(title="A talk", description="", tags=["Python", "책"], location="서울 강남구")
    (await models.Event.publish(talk, creator_id=ANA, now=datetime(2026, 1, 1, tzinfo=UTC)))["id"]

    assert await found_by() == 1
    assert await found_by(tags_any=[]) == 0
    assert await found_by(tags_all=[]) == 1
    assert await found_by(status=[]) == 0
    assert await found_by(location=" ") == 1
    assert await found_by(starts_at={}) == 1
    assert await found_by(starts_at={"from": "0002-01-01T00:00:00Z"}) == 0  # it has no start
    assert await found_by(starts_at={"before": "9998-12-31T23:59:59Z"}) == 0
    assert await found_by(tags_all=["PYTHON", "책"], location="강남") == 1
    assert await found_by(tags_all=["python", "no"], location="강남") == 0


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"tags_any": ["x"] * 21}, {"filter.tagsAny"}),
        ({"tags_any": ["ok", " "], "tags_all": ["x" * 201]}, {"filter.tagsAny", "filter.tagsAll"}),
        ({"location": "x" * 201, "tags_any": ["a\0"]}, {"filter.location", "filter.tagsAny"}),
        ({"starts_at": {"from": "soon", "before": "2026-01-01"}}, {"filter.startsAt.from", "filter.startsAt.before"}),
        ({"created_at": {"from": INSTANTS[1], "before": INSTANTS[1]}}, {"filter.createdAt.before"}),
        ({"created_at": {"from": INSTANTS[3], "before": INSTANTS[1]}}, {"filter.createdAt.before"}),
    ],
)
def test_every_wrong_field_is_named_at_once(said: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        EventFilter.of(said)

    assert refused.value.fields.keys() == wrong


def test_mine_without_a_viewer_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        EventFilter.of({"mine": Mine.ATTENDING})


def test_a_text_is_measured_before_it_is_folded() -> None:
    accents = "\u0301\u0323" * 500_000  # takes minutes to fold
    began = time.process_time()
    for said in ({"tags_any": [accents]}, {"tags_all": [accents]}, {"location": accents}, {"creator": accents}):
        if "creator" in said:
            EventFilter.of(said)
        else:
            with pytest.raises(ValidationFailed):
                EventFilter.of(said)

    assert time.process_time() - began < 5


def test_what_was_written_in_the_first_release_is_read() -> None:
    """Calendars keep these in their addresses."""
    first = (
        '{"tags_any":["a"],"tags_all":["b"],"location":"x","creator":"","starts_at":{"from":"2026-05-01T00:00:00+00:00"},'
        '"created_at":{"before":"2026-05-01T00:00:00+00:00"},"status":["CANCELLED"],"has_seats":false,'
        '"mine":"ATTENDING","viewer_id":"' + BEN + '"}'
    )
    may = {"starts_at": {"from": "2026-05-01T00:00:00Z"}, "created_at": {"before": "2026-05-01T00:00:00Z"}}
    said = {"tags_any": ["A"], "tags_all": ["b"], "location": " X", "creator": "no", "status": [EventStatus.CANCELLED]}
    built = EventFilter.of({**said, **may, "has_seats": False, "mine": Mine.ATTENDING}, BEN)

    assert EventFilter.from_json(orjson.loads(first)) == built
    assert orjson.dumps(built.as_json()).decode() == first
