"""Events changed, cancelled and deleted, and who may do it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import models
from models.idempotency import IdempotencyKey
from tests.people import Person

NOWHERE = {"id": "01a20e77-3739-73fe-bd0f-ca4b2808d016"}
TIMES = {"startsAt": "2026-12-01T10:00:00Z", "endsAt": "2026-12-01T12:00:00Z", "timeZone": "Asia/Seoul"}


async def test_what_is_left_out_stays_and_null_clears(ana: Person) -> None:
    event = await ana.creates_event(title="Talk", image="https://example.org/a.png", tags=["a"], capacity=5, **TIMES)

    changed = (await ana.updates(event, title="강연", tags=["b", "B", "c"], capacity=None, image=None)).data[
        "updateEvent"
    ]

    said = {"title": "강연", "tags": ["b", "c"], "capacity": None, "image": None, "seatsLeft": None, "version": 2}
    assert changed["updatedAt"] > event["updatedAt"]
    assert changed == {**event, **said, "updatedAt": changed["updatedAt"]}
    assert await ana.sees(event) == changed
    tags = (await ana.asks("{ tags { tag count } }")).data["tags"]
    assert tags == [{"tag": "b", "count": 1}, {"tag": "c", "count": 1}]


async def test_an_update_that_changes_nothing_is_no_new_version(ana: Person) -> None:
    event = await ana.creates_event(title="Talk", **TIMES)

    for same in ({}, {"title": "Talk"}, {"startsAt": "2026-12-01T19:00:00+09:00"}, {"image": None}):
        assert (await ana.updates(event, **same)).data["updateEvent"] == event


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"title": None, "description": None, "tags": None, "location": None},
         {"title", "description", "tags", "location"}),
        ({"title": " ", "capacity": 0}, {"title", "capacity"}),
        ({"endsAt": "2026-12-01T10:00:00Z"}, {"endsAt"}),
        ({"startsAt": "2026-12-01T13:00:00Z"}, {"endsAt"}),
        ({"startsAt": None}, {"startsAt"}),
        ({"timeZone": None}, {"timeZone"}),
        ({"timeZone": "Nowhere"}, {"timeZone"}),
    ],
)  # fmt: skip
async def test_the_whole_event_must_make_sense(ana: Person, wrong: dict[str, Any], fields: set[str]) -> None:
    event = await ana.creates_event(**TIMES)

    assert (await ana.updates(event, **wrong)).fields.keys() == fields
    assert await ana.sees(event) == event


async def test_a_time_can_be_taken_back_whole(ana: Person) -> None:
    event = await ana.creates_event(**TIMES)

    changed = (await ana.updates(event, startsAt=None, endsAt=None, timeZone=None)).data["updateEvent"]

    assert (changed["startsAt"], changed["endsAt"], changed["timeZone"]) == (None, None, None)


async def test_a_lost_update_is_refused(ana: Person) -> None:
    event = await ana.creates_event(title="First")
    await ana.updates(event, title="Second", if_version=1)

    stale = await ana.updates(event, title="Third", if_version=1)

    assert stale.code == "CONFLICT"
    assert stale.errors[0]["extensions"]["version"] == 2
    assert (await ana.sees(event))["title"] == "Second"
    assert (await ana.updates(event, title="Third", if_version=2)).data["updateEvent"]["version"] == 3


async def test_of_many_updates_at_once_under_one_version_one_wins(ana: Person) -> None:
    event = await ana.creates_event()

    answers = await asyncio.gather(*(ana.updates(event, title=f"Talk {n}", if_version=1) for n in range(20)))

    codes = [answer.code for answer in answers]
    assert sorted(codes, key=str) == ["CONFLICT"] * 19 + [None]
    assert (await ana.sees(event))["title"] == f"Talk {codes.index(None)}"


async def test_a_cancelled_event_stays_as_it_is_until_it_is_deleted(ana: Person) -> None:
    event = await ana.creates_event()
    cancel = "mutation ($id: ID!) { cancelEvent(id: $id) { status version canEdit } }"
    cancelled = {"status": "CANCELLED", "version": 2, "canEdit": False}

    assert (await ana.asks(cancel, id=event["id"])).data["cancelEvent"] == cancelled
    assert (await ana.asks(cancel, id=event["id"])).data["cancelEvent"] == cancelled
    assert (await ana.updates(event, title="Again")).code == "EVENT_CANCELLED"
    assert (await ana.rsvps(event)).code == "EVENT_CANCELLED"
    deleted = await ana.asks("mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }", id=event["id"].upper())
    assert deleted.data["deleteEvent"] == {"deletedId": event["id"]}
    assert await ana.sees(event) is None


async def test_a_deleted_event_takes_its_tags_and_places_along(ana: Person, ben: Person) -> None:
    event = await ana.creates_event(tags=["gone"])
    await ben.rsvps(event)

    await ana.asks("mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }", id=event["id"])

    assert (await ben.asks("{ tags { tag } me { rsvps { totalCount } } }")).data == {
        "tags": [],
        "me": {"rsvps": {"totalCount": 0}},
    }


MUTATIONS = {
    "updateEvent": 'mutation ($id: ID!) { updateEvent(id: $id, input: {title: "Mine"}) { id } }',
    "cancelEvent": "mutation ($id: ID!) { cancelEvent(id: $id) { id } }",
    "deleteEvent": "mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }",
    "rsvp": "mutation ($id: ID!) { rsvp(eventId: $id) { id } }",
    "cancelRsvp": "mutation ($id: ID!) { cancelRsvp(eventId: $id) { id } }",
}


@pytest.mark.parametrize("name", MUTATIONS)
async def test_who_is_not_signed_in_changes_nothing(ana: Person, anybody: Person, name: str) -> None:
    event = await ana.creates_event()

    assert (await anybody.asks(MUTATIONS[name], id=event["id"])).code == "UNAUTHENTICATED"
    assert await ana.sees(event) == event


@pytest.mark.parametrize("name", ["updateEvent", "cancelEvent", "deleteEvent"])
async def test_another_user_changes_nothing(ana: Person, ben: Person, name: str) -> None:
    event = await ana.creates_event()

    assert (await ben.asks(MUTATIONS[name], id=event["id"])).code == "FORBIDDEN"
    assert await ana.sees(event) == event


@pytest.mark.parametrize("name", MUTATIONS)
async def test_what_is_not_there_is_not_found(ana: Person, name: str) -> None:
    for nowhere in (NOWHERE["id"], "no id"):
        assert (await ana.asks(MUTATIONS[name], id=nowhere)).code == "NOT_FOUND"


async def test_can_edit_answers_for_the_viewer(ana: Person, ben: Person, anybody: Person) -> None:
    event = await ana.creates_event()
    query = "query ($id: ID!) { event(id: $id) { canEdit } }"

    asked = [(await person.asks(query, id=event["id"])).data["event"]["canEdit"] for person in (ana, ben, anybody)]

    assert asked == [True, False, False]


async def test_one_key_makes_one_event_also_when_twenty_come_at_once(ana: Person) -> None:
    events = await asyncio.gather(*(ana.creates_event(title="Once", idempotencyKey="k 1") for _ in range(20)))

    assert len({event["id"] for event in events}) == 1
    assert (await ana.asks("{ events { totalCount } }")).data["events"]["totalCount"] == 1
    assert (await ana.creates_event(title="Once", idempotencyKey="k 1"))["id"] == events[0]["id"]


async def test_a_key_is_for_one_input_of_one_user(ana: Person, ben: Person) -> None:
    first = await ana.creates_event(title="One", idempotencyKey="k")

    assert (await ana.tries_to_create(title="Another", idempotencyKey="k")).code == "CONFLICT"
    assert (await ben.creates_event(title="One", idempotencyKey="k"))["id"] != first["id"]
    assert (await ana.tries_to_create(idempotencyKey="")).fields.keys() == {"idempotencyKey"}
    assert (await ana.tries_to_create(idempotencyKey="x" * 256)).fields.keys() == {"idempotencyKey"}


async def test_a_refused_input_does_not_use_its_key_up(ana: Person) -> None:
    assert (await ana.tries_to_create(title="", idempotencyKey="k")).code == "VALIDATION"

    assert (await ana.tries_to_create(title="Now", idempotencyKey="k")).code is None


async def test_a_key_is_kept_for_a_day_and_then_cleared_away(ana: Person) -> None:
    said = models.EventInput(title="Old", description="", tags=[], location="")
    then = datetime.now(UTC) - timedelta(hours=24)
    for key in ("old", "older"):
        await models.Event.publish(said, creator_id=ana.id, now=then, key=key)

    again = await ana.creates_event(title="New", idempotencyKey="old")

    assert again["title"] == "New"
    assert [kept.key for kept in await IdempotencyKey.all()] == ["old"]


async def test_a_deleted_events_key_makes_no_second_one(ana: Person) -> None:
    event = await ana.creates_event(idempotencyKey="k")
    await ana.asks(MUTATIONS["deleteEvent"], id=event["id"])

    again = await ana.tries_to_create(idempotencyKey="k")

    assert again.code == "NOT_FOUND"
