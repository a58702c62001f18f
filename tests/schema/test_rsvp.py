"""Seats, and the line for them."""

import asyncio
from typing import Any

import httpx
import pytest

from models.reads import query
from tests.people import Person


@pytest.fixture
async def crowd(http: httpx.AsyncClient) -> list[Person]:
    people = [Person(http, f"guest{number}") for number in range(8)]
    for person in people:
        await person.signs_up()
    return people


async def laws_hold(capacity: int | None) -> None:
    """The three laws of models/rsvp.py, read from the rows."""
    events = await query("SELECT id, capacity, confirmed_count, waitlist_count FROM events", [])
    for event in events:
        rows = await query("SELECT status FROM rsvps WHERE event_id = ?", [event["id"]])
        confirmed, waiting = (sum(row["status"] == s for row in rows) for s in ("CONFIRMED", "WAITLISTED"))
        assert (event["confirmed_count"], event["waitlist_count"]) == (confirmed, waiting)
        assert event["capacity"] == capacity
        assert capacity is None or confirmed <= capacity
        assert not waiting or confirmed == capacity


async def test_seats_are_given_while_they_last_then_places_in_line(ana: Person, crowd: list[Person]) -> None:
    event = await ana.creates_event(capacity=2)

    places = [(await guest.rsvps(event)).data["rsvp"] for guest in crowd[:4]]

    assert [(place["status"], place["waitlistPosition"]) for place in places] == [
        ("CONFIRMED", None), ("CONFIRMED", None), ("WAITLISTED", 1), ("WAITLISTED", 2),
    ]  # fmt: skip
    assert places[3]["event"] == {"id": event["id"], "confirmedCount": 2, "waitlistCount": 2, "seatsLeft": 0}
    assert places[0]["user"] == {"username": "guest0"}
    assert (await crowd[0].rsvps(event)).data["rsvp"]["id"] == places[0]["id"]
    assert (await crowd[3].rsvps(event)).data["rsvp"]["waitlistPosition"] == 2
    await laws_hold(2)


async def test_the_first_in_line_takes_a_freed_seat(ana: Person, crowd: list[Person]) -> None:
    event = await ana.creates_event(capacity=1)
    for guest in crowd[:4]:
        await guest.rsvps(event)

    given_up = (await crowd[0].cancels_rsvp(event)).data["cancelRsvp"]

    assert given_up["status"] == "CANCELLED"
    assert (await crowd[0].cancels_rsvp(event)).data["cancelRsvp"]["status"] == "CANCELLED"
    assert [await guest.place_at(event) for guest in crowd[:4]] == [
        ("CANCELLED", None), ("CONFIRMED", None), ("WAITLISTED", 1), ("WAITLISTED", 2),
    ]  # fmt: skip
    await laws_hold(1)


async def test_who_comes_back_stands_at_the_end(ana: Person, crowd: list[Person]) -> None:
    event = await ana.creates_event(capacity=1)
    for guest in crowd[:3]:
        await guest.rsvps(event)
    await crowd[1].cancels_rsvp(event)

    assert await crowd[2].place_at(event) == ("WAITLISTED", 1)
    assert (await crowd[1].rsvps(event)).data["rsvp"]["waitlistPosition"] == 2
    await laws_hold(1)


async def test_a_place_never_taken_cannot_be_given_up(ana: Person, ben: Person) -> None:
    event = await ana.creates_event()

    assert (await ben.cancels_rsvp(event)).code == "NOT_FOUND"
    assert await ben.place_at(event) is None


async def test_a_raised_capacity_lets_the_line_in(ana: Person, crowd: list[Person]) -> None:
    event = await ana.creates_event(capacity=1)
    for guest in crowd[:5]:
        await guest.rsvps(event)

    raised = (await ana.updates(event, capacity=3)).data["updateEvent"]

    assert (raised["confirmedCount"], raised["waitlistCount"], raised["version"]) == (3, 2, 2)
    assert await crowd[3].place_at(event) == ("WAITLISTED", 1)
    await laws_hold(3)
    below = await ana.updates(event, capacity=2)
    assert (below.code, below.errors[0]["extensions"]["confirmed"]) == ("CAPACITY_BELOW_CONFIRMED", 3)
    assert (await ana.updates(event, capacity=None)).data["updateEvent"]["waitlistCount"] == 0
    await laws_hold(None)


async def test_a_cancelled_event_gives_no_seats_but_takes_them_back(ana: Person, crowd: list[Person]) -> None:
    event = await ana.creates_event(capacity=1)
    for guest in crowd[:2]:
        await guest.rsvps(event)
    await ana.asks("mutation ($id: ID!) { cancelEvent(id: $id) { id } }", id=event["id"])

    await crowd[0].cancels_rsvp(event)

    assert await crowd[1].place_at(event) == ("WAITLISTED", 1)
    assert (await ana.sees(event))["confirmedCount"] == 0


async def test_all_at_once_no_seat_is_given_twice_and_none_is_left(ana: Person, crowd: list[Person]) -> None:
    event = await ana.creates_event(capacity=3)

    await asyncio.gather(*(guest.rsvps(event) for guest in crowd for _ in range(3)))
    await laws_hold(3)
    seen = await ana.sees(event)
    assert (seen["confirmedCount"], seen["waitlistCount"]) == (3, 5)

    await asyncio.gather(*(guest.cancels_rsvp(event) for guest in crowd[:4] for _ in range(2)))
    await laws_hold(3)
    await asyncio.gather(
        *(guest.rsvps(event) for guest in crowd),
        *(guest.cancels_rsvp(event) for guest in crowd),
        *(ana.updates(event, capacity=capacity) for capacity in (8, 4, 6, 3, 5)),
    )
    await laws_hold((await ana.sees(event))["capacity"])


async def test_the_organiser_alone_sees_who_comes(ana: Person, crowd: list[Person], anybody: Person) -> None:
    event = await ana.creates_event(capacity=2)
    for guest in crowd[:4]:
        await guest.rsvps(event)
    await crowd[0].cancels_rsvp(event)
    attendees = """query ($id: ID!, $status: RsvpStatus, $first: Int, $after: String) { event(id: $id) { title
      attendees(status: $status, first: $first, after: $after) {
        totalCount nodes { status user { username } } pageInfo { hasNextPage endCursor } } } }"""

    async def names(**arguments: Any) -> list[str]:
        answer = (await ana.asks(attendees, id=event["id"], **arguments)).data["event"]["attendees"]
        return [node["user"]["username"] for node in answer["nodes"]]

    assert await names() == ["guest1", "guest2", "guest3"]
    assert await names(status="CONFIRMED") == ["guest1", "guest2"]
    assert await names(status="CANCELLED") == ["guest0"]
    page = (await ana.asks(attendees, id=event["id"], first=2)).data["event"]["attendees"]
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (3, True)
    assert await names(first=2, after=page["pageInfo"]["endCursor"]) == ["guest3"]
    for other in (crowd[1], anybody):
        refused = await other.asks(attendees, id=event["id"])
        assert refused.code == "FORBIDDEN"
        assert refused.body["data"] == {"event": {"title": "A talk", "attendees": None}}
    # Whose token is no longer good may be the organiser: the client is to refresh, not to give up.
    assert (await ana.asks(attendees, authorization="Bearer xyz", id=event["id"])).code == "TOKEN_INVALID"


async def test_an_account_lists_its_places(ana: Person, ben: Person) -> None:
    over = {"startsAt": "2020-01-01T10:00:00Z", "endsAt": "2020-01-01T12:00:00Z", "timeZone": "UTC"}
    for title, when in (("Over", over), ("Someday", {}), ("Full", {"capacity": 1})):
        event = await ana.creates_event(title=title, **when)
        if title == "Full":
            await ana.rsvps(event)
        await ben.rsvps(event)
    asked = (
        "query ($s: RsvpStatus, $u: Boolean) { me { rsvps(status: $s, upcoming: $u) { nodes { event { title } } } } }"
    )

    async def titles(**arguments: Any) -> list[str]:
        nodes = (await ben.asks(asked, **arguments)).data["me"]["rsvps"]["nodes"]
        return [node["event"]["title"] for node in nodes]

    assert await titles() == ["Full", "Someday"]
    assert await titles(u=False) == ["Full", "Someday", "Over"]
    assert await titles(u=False, s="WAITLISTED") == ["Full"]


def at(start: int, end: int | None) -> dict[str, str]:
    """Hours of one day."""
    ends = {} if end is None else {"endsAt": f"2030-01-01T{end:02}:00:00Z"}
    return {"startsAt": f"2030-01-01T{start:02}:00:00Z", "timeZone": "UTC", **ends}


async def test_clashes_are_the_viewers_events_at_the_same_time(ana: Person, ben: Person, anybody: Person) -> None:
    await ben.creates_event(title="Ben's", **at(10, 12))
    await ben.creates_event(title="Ben's later", **at(12, 13))
    for title, when, comes in (
        ("Attended", at(9, 11), True),
        ("Not attended", at(9, 11), False),
        ("A moment", at(11, None), True),
        ("At the end", at(12, None), True),
        ("No time", {}, True),
    ):
        event = await ana.creates_event(title=title, **when)
        if comes:
            await ben.rsvps(event)
    full = await ana.creates_event(title="Waiting", capacity=1, **at(10, 11))
    await ana.rsvps(full)
    await ben.rsvps(full)
    called_off = await ana.creates_event(title="Called off", **at(10, 11))
    await ben.rsvps(called_off)
    await ana.asks("mutation ($id: ID!) { cancelEvent(id: $id) { id } }", id=called_off["id"])

    async def clashes(viewer: Person) -> dict[str, list[str]]:
        nodes = (await viewer.asks("{ events { nodes { title clashes { title } } } }")).data["events"]["nodes"]
        return {node["title"]: [clash["title"] for clash in node["clashes"]] for node in nodes}

    bens = await clashes(ben)
    assert bens["Ben's"] == ["Attended", "A moment"]
    assert bens["Ben's later"] == ["At the end"]
    assert bens["A moment"] == ["Ben's"]
    assert bens["No time"] == []
    assert not any((await clashes(anybody)).values())
