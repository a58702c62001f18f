import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

import models
from tests.people import Person

LIST = """query ($first: Int, $after: String) { events(first: $first, after: $after) {
  nodes { title tags creator { username } } edges { cursor }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount
} }"""


async def test_a_signed_in_user_publishes_an_event(ana: Person, anybody: Person) -> None:
    event = await ana.creates_event(
        title=" FastAPI 책 출간 행사 ",
        image="https://example.org/책.png",
        description="첫 줄\n둘째 줄 👩‍👩‍👧 שלום",
        tags=["python", " fastapi", "책", "Python"],
        location="Google Meet",
        startsAt="2026-12-01T19:00:00+09:00",
        endsAt="2026-12-01T12:00Z",
        timeZone="Asia/Seoul",
        capacity=30,
    )

    assert event["title"] == "FastAPI 책 출간 행사"
    assert event["description"] == "첫 줄\n둘째 줄 👩‍👩‍👧 שלום"
    assert event["tags"] == ["python", "fastapi", "책"]
    assert event["creator"] == {"id": ana.id, "username": "ana"}
    assert (event["startsAt"], event["endsAt"]) == ("2026-12-01T10:00:00Z", "2026-12-01T12:00:00Z")
    assert event["createdAt"] == event["updatedAt"]
    found = await anybody.asks("query ($id: ID!) { event(id: $id) { title capacity } }", id=event["id"])
    assert found.data["event"] == {"title": "FastAPI 책 출간 행사", "capacity": 30}


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "UNAUTHENTICATED"),
        ("Basic YTpi", "UNAUTHENTICATED"),
        ("Bearer xyz", "TOKEN_INVALID"),
        ("Bearer", "TOKEN_INVALID"),
        ("bearer " + "x" * 3000, "TOKEN_INVALID"),
    ],
)
async def test_nobody_else_does(anybody: Person, authorization: str | None, code: str) -> None:
    refused = await anybody.tries_to_create(authorization)

    assert refused.code == code
    assert refused.body["data"] == {"createEvent": None}
    assert await models.Event.all().count() == 0


async def test_no_input_names_another_creator(ana: Person, ben: Person) -> None:
    for field in ("creator", "creatorId", "creator_id"):
        assert (await ana.tries_to_create(**{field: ben.id})).code == "GRAPHQL_INVALID"


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"title": "  "}, {"title"}),
        (
            {"title": "x" * 201, "description": "x" * 10_001, "location": "x" * 201},
            {"title", "description", "location"},
        ),
        ({"title": "a\x07b", "description": "a\0b", "location": "line\nbreak"}, {"title", "description", "location"}),
        ({"image": "ftp://example.org"}, {"image"}),
        ({"image": "/poster.png"}, {"image"}),
        ({"image": "javascript:alert(1)"}, {"image"}),
        ({"image": "https://example.org/" + "x" * 2048}, {"image"}),
        ({"image": "http://[::1"}, {"image"}),
        ({"tags": [str(n) for n in range(21)]}, {"tags"}),
        ({"tags": ["x" * 51]}, {"tags"}),
        ({"tags": ["ok", " "]}, {"tags"}),
        ({"tags": ["same"] * 201}, {"tags"}),
        ({"tags": ["ok", "\u200b\ufeff"]}, {"tags"}),
        ({"title": "\u200b\u200d\u2060\ufeff\u00ad\u3164"}, {"title"}),
        ({"capacity": 0}, {"capacity"}),
        ({"startsAt": "2026-12-01T10:00:00Z"}, {"timeZone"}),
        ({"startsAt": "2026-12-01T10:00:00", "timeZone": "UTC"}, {"startsAt"}),
        ({"startsAt": "2026-02-30T10:00:00Z", "timeZone": "UTC"}, {"startsAt"}),
        ({"startsAt": "0001-01-01T00:00:00+14:00", "timeZone": "UTC"}, {"startsAt"}),
        ({"startsAt": "0001-01-01T00:00:00Z", "timeZone": "UTC"}, {"startsAt"}),
        ({"startsAt": "9999-12-31T23:59:59.999999Z", "timeZone": "UTC"}, {"startsAt"}),
        ({"tags": ["a"] * 1_900}, {"tags"}),
        (
            {"startsAt": "0001-01-01T00:00:00Z", "endsAt": "9999-12-31T23:59:59.999999Z", "timeZone": "UTC"},
            {"startsAt", "endsAt"},
        ),
        ({"endsAt": "2026-12-01T10:00:00Z", "timeZone": "UTC"}, {"startsAt"}),
        ({"startsAt": "2026-12-01T10:00:00Z", "timeZone": "Mars/Olympus"}, {"timeZone"}),
        (
            {"startsAt": "2026-12-01T10:00:00Z", "endsAt": "2026-12-01T18:00:00+09:00", "timeZone": "UTC", "title": ""},
            {"endsAt", "title"},
        ),
    ],
)
async def test_every_wrong_field_is_named_at_once(ana: Person, wrong: dict[str, Any], fields: set[str]) -> None:
    assert (await ana.tries_to_create(**wrong)).fields.keys() == fields
    assert await models.Event.all().count() == 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00Z"),
        ("9998-12-31T23:59:59.999999Z", "9998-12-31T23:59:59.999999Z"),
        ("0001-12-31T23:00:00-02:00", "0002-01-01T01:00:00Z"),
        ("9998-12-31T23:00:00-02:00", None),
        ("9999-12-31T23:59:59.999999Z", None),
        ("9999-12-31T23:59:59.999999-12:00", None),
        ("0001-01-01T00:00:00Z", None),
    ],
)
async def test_an_instant_comes_back_or_the_years_are_named(ana: Person, sent: str, kept: str | None) -> None:
    """PostgreSQL would keep the ends of Python's years as -infinity and infinity, which no answer can hold."""
    answer = await ana.tries_to_create(startsAt=sent, timeZone="UTC")

    if kept:
        assert answer.data["createEvent"]["startsAt"] == kept
    else:
        assert "years 0002 to 9998" in answer.fields["startsAt"]


async def test_a_location_of_nothing_that_is_seen_is_none(ana: Person) -> None:
    event = await ana.creates_event(location=" \u200b\ufeff ", title="a\u200bb 👩\u200d👩\u200d👧", tags=["a\u200bb"])

    assert event["location"] == ""
    assert (event["title"], event["tags"]) == ("a\u200bb 👩\u200d👩\u200d👧", ["a\u200bb"])  # what joins emoji stays


@pytest.mark.parametrize("wrong", [{"title": 5}, {"startsAt": 5}, {"capacity": 2**40}, {"tags": [None]}])
async def test_another_kind_of_value_does_not_fit_the_schema(ana: Person, wrong: dict[str, Any]) -> None:
    assert (await ana.tries_to_create(**wrong)).code == "GRAPHQL_INVALID"


async def test_a_mutation_that_fails_leaves_its_neighbours(ana: Person) -> None:
    answer = await ana.asks("""mutation {
      a: createEvent(input: {title: "a", description: "", tags: [], location: ""}) { title }
      b: createEvent(input: {title: "", description: "", tags: [], location: "", startsAt: "soon"}) { title }
      c: createEvent(input: {title: "c", description: "", tags: [], location: ""}) { title }
    }""")

    assert answer.body["data"] == {"a": {"title": "a"}, "b": None, "c": {"title": "c"}}
    assert answer.fields.keys() == {"title", "startsAt", "timeZone"}


async def test_an_unknown_event_or_user_is_null(anybody: Person) -> None:
    answer = await anybody.asks(
        '{ a: event(id: "no") { id } b: event(id: "01a20e77-3739-73fe-bd0f-ca4b2808d016") { id } '
        'user(username: "nobody\\u0000") { id } }'
    )

    assert answer.data == {"a": None, "b": None, "user": None}


async def test_pages_go_through_the_list_newest_first(ana: Person, ben: Person) -> None:
    for number in range(5):
        await ana.creates_event(title=f"Talk {number}", tags=["Talks"])

    first = (await ben.asks(LIST, first=2)).data["events"]
    await ben.creates_event(title="Arrived meanwhile")
    second = (await ben.asks(LIST, first=2, after=first["pageInfo"]["endCursor"])).data["events"]
    third = (await ben.asks(LIST, first=2, after=second["edges"][-1]["cursor"])).data["events"]

    assert [event["title"] for page in (first, second, third) for event in page["nodes"]] == [
        "Talk 4", "Talk 3", "Talk 2", "Talk 1", "Talk 0",
    ]  # fmt: skip
    assert first["nodes"][0] == {"title": "Talk 4", "tags": ["Talks"], "creator": {"username": "ana"}}
    ends = [(page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) for page in (first, second, third)]
    assert ends == [(False, True), (True, True), (True, False)]
    assert (first["totalCount"], third["totalCount"]) == (5, 6)


async def test_events_of_one_instant_are_each_shown_once(ana: Person) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(5):
        said = models.EventInput(title=str(number), description="", tags=[], location="")
        await models.Event.publish(said, creator_id=ana.id, now=now)

    titles, after = [], None
    for _ in range(5):
        page = (await ana.asks(LIST, first=1, after=after)).data["events"]
        titles += [event["title"] for event in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert titles == ["4", "3", "2", "1", "0"]


async def test_a_cursor_of_another_list_or_a_forged_one_is_refused(ana: Person) -> None:
    await ana.creates_event()
    cursor = (await ana.asks(LIST)).data["events"]["pageInfo"]["endCursor"]
    of_user = 'query ($after: String) { user(username: "ana") { events(after: $after) { nodes { id } } } }'

    assert (await ana.asks(of_user, after=cursor)).fields.keys() == {"after"}
    beyond = forged_cursor(["0001-01-01T00:00:00+14:00", "01a20e77-3739-73fe-bd0f-ca4b2808d016"])
    for forged in (
        "",
        "abc",
        "💥",
        cursor[:-4] + "AAAA",
        cursor + "A" * 5,
        cursor + "=",
        beyond,
        forged_cursor([None, 1]),
    ):
        assert (await ana.asks(LIST, after=forged)).fields.keys() == {"after"}


def forged_cursor(values: list[Any]) -> str:
    """A cursor of the list of all events, well made, that no page ever had."""
    payload = orjson.dumps(values)
    return base64.urlsafe_b64encode(models.EventList().keyset._digest(payload) + payload).decode().rstrip("=")


async def test_a_page_has_20_where_nothing_else_is_said(ana: Person) -> None:
    for number in range(21):
        await ana.creates_event(title=str(number))

    assert len((await ana.asks("{ events { nodes { id } } }")).data["events"]["nodes"]) == 20
    assert len((await ana.asks("{ events(first: null) { nodes { id } } }")).data["events"]["nodes"]) == 20


@pytest.mark.parametrize("first", [0, -1, 101])
async def test_a_page_has_1_to_100(ana: Person, first: int) -> None:
    assert (await ana.asks(LIST, first=first)).fields.keys() == {"first"}
    assert (await ana.asks("query ($n: Int!) { tags(first: $n) { tag } }", n=first)).fields.keys() == {"first"}


async def test_tags_are_counted_without_regard_to_case(ana: Person) -> None:
    await ana.creates_event(tags=["Python", "책"])
    await ana.creates_event(tags=["python", "책갈피", "50%"])

    async def tags(starts_with: str | None) -> list[tuple[str, int]]:
        answer = await ana.asks("query ($s: String) { tags(startsWith: $s) { tag count } }", s=starts_with)
        return [(row["tag"], row["count"]) for row in answer.data["tags"]]

    assert await tags(None) == [("python", 2), ("50%", 1), ("책", 1), ("책갈피", 1)]
    assert await tags("책") == [("책", 1), ("책갈피", 1)]
    assert await tags("PYT") == [("python", 2)]
    assert await tags("%") == []


async def test_a_users_events_are_theirs(ana: Person, ben: Person) -> None:
    await ana.creates_event(title="Ana's")
    await ben.creates_event(title="Ben's")

    answer = await ana.asks(
        '{ user(username: "BEN") { username events { totalCount nodes { title creator { username } } } } }'
    )

    assert answer.data["user"] == {
        "username": "ben",
        "events": {"totalCount": 1, "nodes": [{"title": "Ben's", "creator": {"username": "ben"}}]},
    }
