"""Events found, put in order, and read page by page while they change."""

import base64
import hashlib
from collections.abc import Callable
from itertools import product
from typing import Any

import orjson
import pytest
from tortoise import Tortoise

import models
from tests.people import Answer, Person

FIND = """query ($filter: EventFilter, $search: String, $order: EventOrder, $first: Int, $after: String) {
  events(filter: $filter, search: $search, orderBy: $order, first: $first, after: $after) {
    nodes { title } edges { cursor } pageInfo { hasNextPage endCursor } totalCount
  }
}"""
AT_TEN = "2026-12-01T10:00Z"
NEWEST = {"field": "CREATED_AT", "direction": "DESC"}
ORDERS = [{"field": field, "direction": direction} for field, direction in product(
    ("CREATED_AT", "STARTS_AT", "TITLE", "CONFIRMED_COUNT", "RELEVANCE"), ("ASC", "DESC")
)]  # fmt: skip


async def asks(person: Person, **variables: Any) -> Answer:
    return await person.asks(FIND, **{"order": NEWEST, **variables})


async def finds(person: Person, **variables: Any) -> list[str]:
    events = (await asks(person, **variables)).data["events"]
    assert events["totalCount"] == len(events["nodes"])
    return [event["title"] for event in events["nodes"]]


async def pages(person: Person, first: int = 1, **variables: Any) -> list[str]:
    """The titles of all pages, one page after the other."""
    titles, after, more = [], None, True
    while more:
        page = (await asks(person, first=first, after=after, **variables)).data["events"]
        titles += [event["title"] for event in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    return titles


async def test_a_filter_says_which(ana: Person, ben: Person, anybody: Person) -> None:
    at = {"timeZone": "UTC"}
    soon = await ana.creates_event(
        title="Soon", tags=["Python", "책"], location="서울 강남구", startsAt="2026-12-01T10:00Z", capacity=1, **at
    )
    await ana.creates_event(title="Later", tags=["python"], location="Berlin", startsAt="2026-12-02T10:00Z", **at)
    open_ = await ben.creates_event(title="Some day", tags=["책"])
    await ben.rsvps(soon)
    await ana.rsvps(soon)  # and waits: the seat is Ben's
    await ana.rsvps(open_)
    await ben.asks("mutation ($id: ID!) { cancelEvent(id: $id) { id } }", id=open_["id"])

    for filter, titles in (
        ({}, ["Some day", "Later", "Soon"]),
        ({"tagsAny": ["PYTHON"]}, ["Later", "Soon"]),
        ({"tagsAny": ["no", "책"]}, ["Some day", "Soon"]),
        ({"tagsAll": ["python", "책"]}, ["Soon"]),
        ({"location": "BERL"}, ["Later"]),
        ({"creator": ben.id}, ["Some day"]),
        ({"creator": "nobody"}, []),
        ({"startsAt": {"from": "2026-12-01T11:00:00+01:00"}}, ["Later", "Soon"]),
        ({"startsAt": {"from": "2026-12-01T10:00Z", "before": "2026-12-02T10:00Z"}}, ["Soon"]),
        ({"createdAt": {"before": "2026-01-01T00:00Z"}}, []),
        ({"status": ["CANCELLED"]}, ["Some day"]),
        ({"status": ["SCHEDULED", "CANCELLED"]}, ["Some day", "Later", "Soon"]),
        ({"status": []}, []),
        ({"hasSeats": False}, ["Soon"]),
        ({"hasSeats": True, "status": "SCHEDULED"}, ["Later"]),
        ({"mine": "ORGANISING"}, ["Later", "Soon"]),
        ({"mine": "ATTENDING"}, ["Some day"]),
    ):
        assert await finds(ana, filter=filter) == titles, filter
    assert await finds(ben, filter={"mine": "ATTENDING"}) == ["Soon"]
    assert (await asks(anybody, filter={"mine": "ATTENDING"})).code == "UNAUTHENTICATED"
    assert await finds(anybody, filter=None, search=None, order=None) == ["Some day", "Later", "Soon"]
    assert await finds(anybody, search="책") == ["Some day", "Soon"]
    assert await finds(anybody, search="강남 soo", filter={"tagsAny": ["python"]}) == ["Soon"]


async def test_what_cannot_be_meant_is_refused_by_its_name(ana: Person) -> None:
    for variables, field in (
        ({"filter": {"tagsAny": ["x"] * 21}}, "filter.tagsAny"),
        ({"filter": {"startsAt": {"from": "soon"}}}, "filter.startsAt.from"),
        ({"filter": {"createdAt": {"from": AT_TEN, "before": AT_TEN}}}, "filter.createdAt.before"),
        ({"search": "x" * 201}, "search"),
        ({"order": {"field": "RELEVANCE", "direction": "DESC"}}, "orderBy"),
        ({"order": {"field": "RELEVANCE"}, "search": " "}, "orderBy"),
    ):  # fmt: skip
        assert (await asks(ana, **variables)).fields.keys() == {field}
    assert (await asks(ana, filter={"nobody": 1})).code == "GRAPHQL_INVALID"
    assert (await asks(ana, order={"field": "PASSWORD"})).code == "GRAPHQL_INVALID"


@pytest.fixture
async def some(ana: Person, ben: Person) -> dict[tuple[str, str], list[str]]:
    """Seven events of which several are alike in each order, and their titles in all orders."""
    starts = (None, "2026-12-02T10:00Z", "2026-12-01T10:00Z", "2026-12-01T10:00Z", None, "2026-12-03T10:00Z", None)
    titles = ("나 talk", "b talk", "B Talk", "가 talk", "a 1", "É talk", "𝄞 talk")
    for title, starts_at in zip(titles, starts, strict=True):
        tags = ["talk"] if title in ("b talk", "a 1", "나 talk") else []
        event = await ana.creates_event(title=title, startsAt=starts_at, timeZone="UTC", tags=tags)
        for person in (ana, ben)[: 1 if title in ("b talk", "a 1") else 2 if title == "가 talk" else 0]:
            await person.rsvps(event)
    newest = list(reversed(titles))
    ascending = {
        "CREATED_AT": [*titles],
        "STARTS_AT": ["B Talk", "가 talk", "b talk", "É talk", "나 talk", "a 1", "𝄞 talk"],
        "TITLE": ["a 1", "b talk", "B Talk", "É talk", "가 talk", "나 talk", "𝄞 talk"],
        "CONFIRMED_COUNT": ["나 talk", "B Talk", "É talk", "𝄞 talk", "b talk", "a 1", "가 talk"],
    }
    in_order = {(field, "ASC"): found for field, found in ascending.items()}
    in_order |= {(field, "DESC"): found[::-1] for field, found in ascending.items()}
    in_order["RELEVANCE", "DESC"] = [t for t in newest if t != "a 1"] + ["a 1"]  # whose talk is a tag
    in_order["RELEVANCE", "ASC"] = in_order["RELEVANCE", "DESC"][::-1]
    return in_order


async def test_each_order_goes_both_ways_page_by_page(anybody: Person, some: dict[tuple[str, str], list[str]]) -> None:
    for order in ORDERS:
        search = "talk" if order["field"] == "RELEVANCE" else None
        for first in (1, 3, 100):
            assert (
                await pages(anybody, first, order=order, search=search) == some[order["field"], order["direction"]]
            ), order
    assert await pages(anybody, order={"field": "TITLE"}) == some["TITLE", "ASC"]


async def test_pages_stay_right_while_events_arrive_change_and_go(ana: Person, anybody: Person) -> None:
    order = {"field": "TITLE", "direction": "ASC"}
    made = {title: await ana.creates_event(title=title) for title in "bdfhj"}
    first = (await asks(anybody, order=order, first=2)).data["events"]
    assert [event["title"] for event in first["nodes"]] == ["b", "d"]

    await ana.creates_event(title="a")  # before the cursor
    await ana.creates_event(title="e")  # behind it
    await ana.updates(made["h"], title="c")  # from behind to before
    await ana.asks("mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }", id=made["d"]["id"])  # the cursor's own

    second = (await asks(anybody, order=order, first=10, after=first["pageInfo"]["endCursor"])).data["events"]
    assert [event["title"] for event in second["nodes"]] == ["e", "f", "j"]


async def test_a_cursor_serves_its_own_list_alone(
    ana: Person, ben: Person, some: dict[tuple[str, str], list[str]]
) -> None:
    lists: list[dict[str, Any]] = [
        *({"order": order, "search": "talk"} for order in ORDERS),
        {"search": "tal"},
        {"filter": {"tagsAny": ["talk"]}},
        {"filter": {"tagsAll": ["talk"]}},
        {"filter": {"mine": "ORGANISING"}},
        {},
    ]
    cursors = [(await asks(ana, first=1, **one)).data["events"]["pageInfo"]["endCursor"] for one in lists]

    for (number, one), (other, cursor) in product(enumerate(lists), enumerate(cursors)):
        answer = await asks(ana, after=cursor, **one)
        assert (answer.code is None) == (number == other), (one, lists[other])
        if number != other:
            assert answer.fields.keys() == {"after"}
    assert (await asks(ben, after=cursors[-2], **lists[-2])).fields.keys() == {"after"}  # Ben's mine is another list
    same = {"filter": {"tagsAny": ["TALK", "talk"]}, "search": " "}
    assert (await asks(ana, after=cursors[-4], **same)).code is None  # the same, said in another way


FORGED: dict[str, list[Any]] = {
    "CREATED_AT": ["no date", 5, None, "2026-12-01", "2026-12-01T10:00:00", "0001-01-01T00:00:00+14:00", ["x"]],
    "TITLE": ["a\0", "x" * 5_000, 5, None, {}],
    "CONFIRMED_COUNT": [2**31, 2**63, 1.5, True, "5", None],
}


@pytest.mark.parametrize("field", FORGED)
async def test_a_forged_place_is_refused_and_never_reaches_the_database(ana: Person, field: str) -> None:
    await ana.creates_event()
    order = {"field": field, "direction": "ASC"}
    cursor = (await asks(ana, order=order)).data["events"]["pageInfo"]["endCursor"]
    events = models.EventList.of(order=models.EventOrder(models.EventOrderField(field), models.OrderDirection.ASC))

    def forge(payload: Any) -> str:
        # A forger knows how the digest is made: the code is open.
        raw = orjson.dumps(payload)
        list_ = f"{events.keyset.scope}|{events.keyset.order}|".encode()
        digest = hashlib.blake2b(list_ + raw, digest_size=9).digest()
        return base64.urlsafe_b64encode(digest + raw).decode().rstrip("=")

    place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[9:])
    assert forge(place) == cursor
    for value in FORGED[field]:
        assert (await asks(ana, order=order, after=forge([value, place[1]]))).fields.keys() == {"after"}, value
    others: list[Any] = [[place[0]], [*place, 1], [place[0], "no id"], [place[0], 5], {}, 5, None]
    for payload in others:
        assert (await asks(ana, order=order, after=forge(payload))).fields.keys() == {"after"}, payload


async def test_lists_of_many_kinds_in_one_document_do_not_mix(ana: Person) -> None:
    for title in ("b", "a", "c"):
        await ana.creates_event(title=title, tags=[title])

    answer = await ana.asks("""{
      newest: events(first: 2) { ...Titles }
      oldest: events(first: 2, orderBy: {field: CREATED_AT}) { ...Titles }
      title: events(first: 2, orderBy: {field: TITLE, direction: ASC}) { ...Titles }
      a: events(first: 2, filter: {tagsAny: ["a"]}) { ...Titles }
      b: events(first: 2, filter: {tagsAny: ["b"]}) { ...Titles }
      best: events(first: 2, search: "a", orderBy: {field: RELEVANCE, direction: DESC}) { ...Titles }
      other: events(first: 2, search: "c", orderBy: {field: RELEVANCE, direction: DESC}) { ...Titles }
    } fragment Titles on EventConnection { totalCount nodes { title } }""")

    found = {
        name: ([one["title"] for one in list_["nodes"]], list_["totalCount"]) for name, list_ in answer.data.items()
    }
    assert found == {
        "newest": (["c", "a"], 3), "oldest": (["b", "a"], 3), "title": (["a", "b"], 3),
        "a": (["a"], 1), "b": (["b"], 1), "best": (["a"], 1), "other": (["c"], 1),
    }  # fmt: skip


async def test_a_filtered_searched_and_ordered_list_is_one_statement(
    ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await ana.creates_event(title=f"talk {number}", tags=["a", "b"], location="Seoul")
    sent = _listen(monkeypatch)

    for order in ORDERS:
        sent.clear()
        answer = await ana.asks(
            """query ($order: EventOrder) {
              events(first: 3, search: "talk seo", orderBy: $order, filter: {tagsAny: ["a"], tagsAll: ["b"]
                location: "eou", hasSeats: true, status: SCHEDULED, creator: "no", mine: ORGANISING
                createdAt: {from: "2020-01-01T00:00Z"}, startsAt: {before: "2020-01-01T00:00Z"}}) {
                nodes { title tags creator { username } }
              }
            }""",
            order=order,
        )
        assert answer.data == {"events": {"nodes": []}}
        assert len([sql for sql in sent if "sessions" not in sql]) == 1  # `mine` reads who asks
        assert "description" not in "".join(sent)
        assert "seo" not in "".join(sent)  # no value stands in a statement


def _listen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    connection, sent = Tortoise.get_connection("default"), list[str]()

    def noted(send: Callable[..., Any]) -> Callable[..., Any]:
        def execute(sql: str, *values: Any) -> Any:
            sent.append(sql)
            return send(sql, *values)

        return execute

    for name in ("fetch", "execute_query_dict"):
        monkeypatch.setattr(connection, name, noted(getattr(connection, name)))
    return sent
