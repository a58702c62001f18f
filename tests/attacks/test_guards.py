"""Who may reach what: by the published schema, so that a new field is met by these tests before it is met by others."""

from typing import Any

import httpx
import pytest
from graphql import GraphQLEnumType, GraphQLObjectType, get_named_type

from tests.attacks.conftest import on_sqlite
from tests.attacks.published import FITTING, Path, Published
from tests.people import Person

# A mutation that is not among these is for the signed-in.
PUBLIC = {"signup", "signin", "refresh"}
PUBLIC_SUBSCRIPTIONS = {"eventChanged"}  # of what Query.events shows anybody
PRIVATE = {"Account", "Session", "AuthPayload"}
# Where an id may name what is not the caller's, and the tests of what then happens.
IDS: dict[str, set[tuple[str, Path]]] = {
    "query": {("event", ("id",)), ("events", ("filter", "creator"))},  # public
    "mutation": {
        ("updateEvent", ("id",)),
        ("cancelEvent", ("id",)),
        ("deleteEvent", ("id",)),
        ("rsvp", ("eventId",)),
        ("cancelRsvp", ("eventId",)),
    },
    "subscription": {("eventChanged", ("filter", "creator"))},
}
EVERYTHING_DEPTH = 4


@on_sqlite
@pytest.mark.parametrize(("authorization", "code"), [(None, "UNAUTHENTICATED"), ("Bearer x.y.z", "TOKEN_INVALID")])
async def test_every_mutation_is_on_the_public_list_or_refuses(
    anybody: Person, published: Published, authorization: str | None, code: str
) -> None:
    mutations = published.roots["mutation"].keys()
    for name in mutations:
        document, variables = published.call("mutation", name)
        answer = await anybody.asks(document, authorization=authorization, **variables)
        if name not in PUBLIC:
            assert (answer.code, answer.body["data"]) == (code, {name: None})
        else:  # it may have its own reason to refuse, but not this one
            assert answer.code != "UNAUTHENTICATED", name

    assert mutations > PUBLIC


@on_sqlite
async def test_a_refusal_comes_before_the_input_is_looked_at(anybody: Person, published: Published) -> None:
    """Else a stranger learns which ids and values are good."""
    for name, at in published.arguments("mutation", "String"):
        if name not in PUBLIC:
            document, variables = published.call("mutation", name, at, "\0" * 300)
            assert (await anybody.asks(document, **variables)).code == "UNAUTHENTICATED", name


@on_sqlite
async def test_nothing_private_hangs_on_what_is_public(published: Published) -> None:
    private_roots = {
        name
        for kind in published.roots
        for name, field in published.roots[kind].items()
        if published.reachable(field) & PRIVATE
    }
    guarded_by_the_account = {"changePassword", "rotateCalendarUrl"}

    assert private_roots <= {"me"} | PUBLIC | guarded_by_the_account
    assert set(published.roots.get("subscription", {})) <= PUBLIC_SUBSCRIPTIONS | {"myRsvpChanged"}


@on_sqlite
async def test_what_everybody_sees_has_no_private_fields(published: Published) -> None:
    """And no type at all has what is for the database alone."""
    for type_ in published.schema.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            names = {name.lower() for name in type_.fields if type_ is not published.schema.mutation_type}
            assert not {name for name in names if "hash" in name or "password" in name or "key" in name}, type_.name
            if type_.name not in PRIVATE:
                assert not names & {"email", "useragent", "refreshtoken", "accesstoken", "sessions"}, type_.name


async def test_whatever_others_select_nothing_of_an_account_comes_back(
    anybody: Person, ana: Person, ben: Person, published: Published
) -> None:
    """All that the schema offers below each public field, asked by a stranger and by another user."""
    event = await ana.creates_event(title="Ana's", capacity=5)
    await ana.rsvps(event)
    sessions = (await ana.asks("{ me { sessions { id userAgent } } }")).data["me"]["sessions"]
    secrets = ["ana@test.com", *(session["id"] for session in sessions), sessions[0]["userAgent"]]

    for who in (anybody, ben):
        for call in (f'event(id: "{event["id"]}")', 'user(username: "ana")', "events(first: 5)"):
            field = published.roots["query"][call.partition("(")[0]]
            selection = published.everything(get_named_type(field.type), EVERYTHING_DEPTH)
            answer = await who.asks(f"{{ {call} {selection} }}")
            assert "Ana's" in answer.response.text
            assert [secret for secret in secrets if secret in answer.response.text] == []
            assert {error["extensions"]["code"] for error in answer.errors} <= {"FORBIDDEN"}
    assert (await anybody.asks("{ me { email } }")).data == {"me": None}
    assert (await ben.asks("{ me { email } }")).data == {"me": {"email": "ben@test.com"}}


async def test_who_comes_is_for_the_organiser(ana: Person, ben: Person, anybody: Person) -> None:
    event = await ana.creates_event(title="Ana's")
    await ana.rsvps(event)
    document = "query ($id: ID!) { event(id: $id) { attendees { totalCount nodes { user { username } } } } }"

    for who in (ben, anybody):
        answer = await who.asks(document, id=event["id"])
        assert answer.code == "FORBIDDEN"
        assert answer.body["data"] == {"event": {"attendees": None}}


@on_sqlite
async def test_every_id_argument_is_known_here(published: Published) -> None:
    """One that is new must be thought through: what happens where the id is somebody else's?"""
    for kind in published.roots:
        assert set(published.arguments(kind, "ID")) <= IDS[kind]


async def test_another_users_id_opens_nothing(ana: Person, ben: Person, published: Published) -> None:
    event = await ana.creates_event(title="Ana's", capacity=1)
    place = (await ana.rsvps(event)).data["rsvp"]
    before = await ana.sees(event)

    for name, at in published.arguments("mutation", "ID"):
        document, variables = published.call("mutation", name, at, event["id"])
        answer = await ben.asks(document, **variables)
        if name == "rsvp":  # anybody may: in his own name
            assert await ben.place_at(event) == ("WAITLISTED", 1)
        elif name == "cancelRsvp":
            assert await ben.place_at(event) == ("CANCELLED", None)
        else:
            assert answer.code == "FORBIDDEN", name
        assert (await ana.place_at(event)) == ("CONFIRMED", None)

    assert await ana.sees(event) == before
    assert (await ana.rsvps(event)).data["rsvp"]["id"] == place["id"]


async def test_an_id_of_another_kind_is_not_found(ana: Person, ben: Person, published: Published) -> None:
    event = await ana.creates_event()
    place = (await ana.rsvps(event)).data["rsvp"]["id"]
    session = (await ana.asks("{ me { sessions { id } } }")).data["me"]["sessions"][0]["id"]

    for name, at in published.arguments("mutation", "ID"):
        for id_ in (place, session, ana.id, FITTING["ID"], "1", "-1", "../1", "' OR 1=1 --", "x" * 10_000, "٣"):
            document, variables = published.call("mutation", name, at, id_)
            answer = await ben.asks(document, **variables)
            assert answer.code == "NOT_FOUND" or (name == "cancelRsvp" and answer.body["data"] == {name: None}), name


async def test_an_idempotency_key_and_a_cursor_are_their_users_own(ana: Person, ben: Person) -> None:
    anas = await ana.creates_event(title="Ana's", idempotencyKey="one key")
    bens = await ben.creates_event(title="Ana's", idempotencyKey="one key")
    await ana.rsvps(anas)
    places = """query ($after: String) { me { rsvps(upcoming: false, first: 1, after: $after) {
      nodes { id } pageInfo { endCursor }
    } } }"""
    cursor = (await ana.asks(places)).data["me"]["rsvps"]["pageInfo"]["endCursor"]

    assert bens["creator"]["id"] == ben.id
    assert bens["id"] != anas["id"]
    assert (await ben.asks(places, after=cursor)).fields.keys() == {"after"}


FOREIGN: dict[str, Any] = {
    "id": FITTING["ID"],
    "creator": FITTING["ID"],
    "creatorId": FITTING["ID"],
    "creator_id": FITTING["ID"],
    "userId": FITTING["ID"],
    "status": "CANCELLED",
    "version": 99,
    "confirmedCount": 99,
    "confirmed_count": 99,
    "waitlistCount": 99,
    "createdAt": FITTING["DateTime"],
    "updatedAt": FITTING["DateTime"],
    "passwordHash": "x",
    "calendarKey": "x",
    "isAdmin": True,
    "role": "admin",
    "__typename": "Event",
    "__proto__": {"isAdmin": True},
}


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_no_input_takes_what_is_not_its_own(ana: Person, published: Published, foreign: str) -> None:
    event = await ana.creates_event(title="Ana's")
    for name, field in published.roots["mutation"].items():
        if "input" in field.args:
            document, variables = published.call("mutation", name)
            variables["input"][foreign] = FOREIGN[foreign]
            answer = await ana.asks(document, **variables | ({"id": event["id"]} if "id" in variables else {}))
            assert answer.code == "GRAPHQL_INVALID", name

    assert await ana.sees(event) == event


async def test_what_stands_beside_the_query_changes_nothing(ana: Person, ben: Person, http: httpx.AsyncClient) -> None:
    body = {
        "query": "mutation ($i: CreateEventInput!) { createEvent(input: $i) { creator { id } version } }",
        "variables": {
            "i": {"title": "Ana's", "description": "", "tags": [], "location": ""},
            "creator": ben.id,
            "viewer": ben.id,
        },
        "viewer": {"id": ben.id},
        "context": {"viewer": {"id": ben.id}, "now": "2000-01-01"},
        "root": {"creator": ben.id},
        "extensions": {"creator": ben.id, "viewer": {"id": ben.id}, "persistedQuery": {"sha256Hash": "0" * 64}},
    }

    answer = await http.post("/graphql", json=body, headers={"authorization": f"Bearer {ana.token}"})

    assert answer.json() == {"data": {"createEvent": {"creator": {"id": ana.id}, "version": 1}}}


@on_sqlite
async def test_roles_and_states_are_told_by_the_server_alone(published: Published) -> None:
    """No input takes a status of an event or of a place; only filters do."""
    for type_ in published.schema.type_map.values():
        fields = getattr(type_, "fields", {}) if type_.name.endswith("Input") else {}
        assert not [name for name, one in fields.items() if isinstance(get_named_type(one.type), GraphQLEnumType)]
