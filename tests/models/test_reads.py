"""A list is one statement, whatever its size and depth, and reads the selected columns alone."""

from collections.abc import Callable
from typing import Any

import pytest
from tortoise import Tortoise

from tests.people import Person


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The statements sent since the last time it was asked."""
    sent: list[str] = []

    def noted(send: Callable[..., Any]) -> Callable[..., Any]:
        def execute(sql: str, *values: Any) -> Any:
            sent.append(sql)
            return send(sql, *values)

        return execute

    def listen() -> list[str]:
        connection = Tortoise.get_connection("default")
        if not hasattr(connection, "_test_listens"):
            for name in ("fetch", "execute_query", "execute_query_dict", "execute_insert", "execute_many"):
                monkeypatch.setattr(connection, name, noted(getattr(connection, name)))
            monkeypatch.setattr(connection, "_test_listens", True, raising=False)
        taken, sent[:] = list(sent), []
        return taken

    return listen


async def test_a_list_is_one_statement_and_its_count_another(
    ana: Person, ben: Person, statements: Callable[[], list[str]]
) -> None:
    for number in range(6):
        await (ana if number % 2 else ben).creates_event(title=str(number), tags=["a", "b"])

    for first in (1, 5, 100):
        statements()
        await ana.asks("query ($n: Int) { events(first: $n) { nodes { title tags creator { username } } } }", n=first)
        sent = statements()
        assert len(sent) == 1
        assert "description" not in sent[0]
        assert "password" not in sent[0]

    await ana.asks("{ events { totalCount } }")
    assert len(statements()) == 1
    await ana.asks("{ events { totalCount edges { node { id } } } }")
    assert len(statements()) == 2


async def test_lists_below_a_list_are_one_statement_more(
    ana: Person, ben: Person, statements: Callable[[], list[str]]
) -> None:
    for number in range(6):
        await (ana if number % 2 else ben).creates_event(title=str(number))
    statements()

    answer = await ana.asks(
        """query ($no: Boolean = false) {
          events(first: 10) { nodes { title creator { ...Theirs } } }
        }
        fragment Theirs on User { username events(first: 2) { totalCount nodes { title image @include(if: $no) } } }"""
    )

    assert len(statements()) == 3  # the list; below it the pages of all its creators, and their counts
    for event in answer.data["events"]["nodes"]:
        titles = [below["title"] for below in event["creator"]["events"]["nodes"]]
        assert titles == (["5", "3"] if event["creator"]["username"] == "ana" else ["4", "2"])
        assert event["creator"]["events"]["totalCount"] == 3


async def test_what_a_list_says_of_the_viewer_costs_as_much_for_one_event_as_for_ten(
    ana: Person, ben: Person, statements: Callable[[], list[str]]
) -> None:
    when = {"startsAt": "2030-01-01T10:00:00Z", "endsAt": "2030-01-01T12:00:00Z", "timeZone": "UTC"}
    for number in range(10):
        event = await ana.creates_event(title=str(number), capacity=1, **when)
        await (ana if number % 2 else ben).rsvps(event)
        await ben.rsvps(event)
    query = """query ($n: Int) { events(first: $n) { nodes {
      title seatsLeft canEdit myRsvp { status waitlistPosition event { title creator { username } } }
      clashes { title creator { username } }
      attendees(first: 5) { totalCount nodes { user { username } waitlistPosition } }
    } } }"""
    sent = {}
    for first in (1, 10):
        statements()
        answer = await ana.asks(query, n=first)
        assert len(answer.data["events"]["nodes"]) == first
        sent[first] = len(statements())

    assert sent[1] == sent[10] == 6  # the list, the viewer; then places, clashes, attendees and their counts


async def test_equal_questions_about_tags_are_asked_once(ana: Person, statements: Callable[[], list[str]]) -> None:
    await ana.creates_event(tags=["a", "b"])
    statements()

    answer = await ana.asks('{ one: tags { tag } two: tags(first: 20) { count } b: tags(startsWith: "b") { tag } }')

    assert len(statements()) == 2
    assert answer.data == {
        "one": [{"tag": "a"}, {"tag": "b"}],
        "two": [{"count": 1}, {"count": 1}],
        "b": [{"tag": "b"}],
    }
