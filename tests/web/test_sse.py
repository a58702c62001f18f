import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import orjson
import pytest
from httpx import Response

import models
from settings import Settings
from tests.conftest import Server
from tests.people import Person
from tests.sockets import PATIENCE, Airing
from tests.web.test_websocket import HEAVY, publishes
from web import sse
from web.caller import Caller
from web.operations import Asked

CHANGES = "subscription { eventChanged { kind event { title creator { username } } } }"
on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


@pytest.fixture
async def airing(settings: Settings, app: Any) -> AsyncIterator[Airing]:
    async with Airing(settings, session_check_seconds=0.05).served() as airing:
        yield airing


@asynccontextmanager
async def streams(http: httpx.AsyncClient, query: str, *, by: str = "POST") -> AsyncIterator[Response]:
    asked: dict[str, Any] = {"params": {"query": query}} if by == "GET" else {"json": {"query": query}}
    headers = {"accept": sse.EVENT_STREAM}
    async with asyncio.timeout(PATIENCE), http.stream(by, "/graphql", headers=headers, **asked) as response:
        yield response


async def told(response: Response) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream: their names, and what they hold."""
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field.startswith("data"):
            yield name, orjson.loads(value) if value else None


def data(event: tuple[str, Any]) -> Any:
    name, body = event
    assert name == "next", event
    return body["data"]


@pytest.mark.parametrize("by", ["POST", "GET"])
async def test_changes_are_told_as_they_happen(airing: Airing, ana: Person, by: str) -> None:
    async with airing.http() as http, streams(http, CHANGES, by=by) as response:
        await airing.is_heard_by(1)
        events = told(response)
        await ana.creates_event(title="파이썬 모임")
        first = data(await anext(events))
        await ana.creates_event(title="Next")
        second = data(await anext(events))

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert first["eventChanged"] == {
        "kind": "CREATED",
        "event": {"title": "파이썬 모임", "creator": {"username": "ana"}},
    }
    assert second["eventChanged"]["event"]["title"] == "Next"
    await airing.is_heard_by(0)


async def test_a_promotion_is_told_to_whom_the_header_names(airing: Airing, ana: Person, ben: Person) -> None:
    event = await ana.creates_event(capacity=1)
    await ana.rsvps(event)
    await ben.rsvps(event)
    async with airing.http(ben) as http, streams(http, "subscription { myRsvpChanged { status } }") as response:
        await airing.is_heard_by(1, f"places of {ben.id}")
        await ana.cancels_rsvp(event)

        assert data(await anext(told(response))) == {"myRsvpChanged": {"status": "CONFIRMED"}}


@on_sqlite
async def test_a_query_is_one_event_and_the_end(airing: Airing) -> None:
    async with airing.http() as http, streams(http, "{ events { totalCount } }") as response:
        events = [event async for event in told(response)]

    assert events == [("next", {"data": {"events": {"totalCount": 0}}}), ("complete", None)]


@on_sqlite
@pytest.mark.parametrize(
    ("query", "code"),
    [("subscription { nothing }", "GRAPHQL_INVALID"), ("subscription { myRsvpChanged { id } }", "UNAUTHENTICATED")],
)
async def test_refusals_come_in_the_stream(airing: Airing, query: str, code: str) -> None:
    async with airing.http() as http, streams(http, query) as response:
        (_, answer), end = [event async for event in told(response)]

    assert response.status_code == 200
    assert "data" not in answer
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    assert end == ("complete", None)


@on_sqlite
async def test_what_is_no_request_is_refused_without_a_stream(airing: Airing) -> None:
    async with airing.http() as http, streams(http, "mutation { a: __typename }", by="GET") as response:
        assert response.status_code == 405
        assert response.headers["content-type"].startswith("application/json")


@on_sqlite
async def test_one_that_takes_json_as_gladly_gets_json_but_for_subscriptions(airing: Airing) -> None:
    accepted = {"accept": "application/json, text/event-stream"}
    async with airing.http() as http:
        answer = await http.post("/graphql", json={"query": "{ __typename }"}, headers=accepted)
        refused = await http.post("/graphql", json={"query": CHANGES})
        async with http.stream("POST", "/graphql", json={"query": CHANGES}, headers=accepted) as response:
            assert response.headers["content-type"].startswith("text/event-stream")

    assert answer.json() == {"data": {"__typename": "Query"}}
    assert refused.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert "text/event-stream" in refused.json()["errors"][0]["message"]


@on_sqlite
async def test_a_silent_stream_is_kept_alive(airing: Airing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "Stream", partial(sse.Stream, keep_alive_seconds=0.01))
    async with airing.http() as http, streams(http, CHANGES) as response:
        lines = response.aiter_lines()

        assert [await anext(lines) for _ in range(6)] == [":", ""] * 3


async def test_a_token_that_expires_ends_the_stream(airing: Airing, ana: Person) -> None:
    user = await models.User.get(email=ana.email)
    almost = datetime.now(UTC) - timedelta(minutes=15, seconds=29)  # with the leeway there is a second left, or less
    ana.token = (await airing.accounts.sessions.start(user.id, almost))[1].access_token
    async with airing.http(ana) as http, streams(http, CHANGES) as response:
        (_, answer), end = [event async for event in told(response)]

    assert answer["errors"][0]["extensions"]["code"] == "TOKEN_EXPIRED"
    assert end == ("complete", None)


async def test_a_session_that_ends_ends_the_stream(airing: Airing, ana: Person) -> None:
    async with airing.http(ana) as http, streams(http, CHANGES) as response:
        await airing.is_heard_by(1)
        await models.Session.all().delete()
        (_, answer), end = [event async for event in told(response)]

    assert answer["errors"][0]["extensions"]["code"] == "TOKEN_REVOKED"
    assert end == ("complete", None)
    await airing.is_heard_by(0)


@on_sqlite
async def test_a_stream_that_is_read_too_slowly_is_cut(airing: Airing) -> None:
    async with airing.http() as http, streams(http, HEAVY) as response:
        await airing.is_heard_by(1)
        await publishes(airing, 2_000)  # 20 MB, before the client reads
        events = [name async for name, _ in told(response)]

    assert 0 < len(events) < 2_000
    assert "complete" not in events


@on_sqlite
async def test_one_that_is_never_read_is_given_up(airing: Airing) -> None:
    async def says_nothing() -> Any:
        await asyncio.Event().wait()

    async def takes_nothing(event: Any) -> None:
        if event["type"] == "http.response.body":
            await asyncio.Event().wait()

    context = airing.operations.context(Caller(), "1")
    answers = airing.operations.subscribe(Asked(CHANGES, None, None), context)
    stream = sse.Stream(airing.operations, says_nothing, takes_nothing, send_seconds=0.05)

    async with asyncio.timeout(PATIENCE):
        await stream.answer(answers, Caller(), "1")
    await airing.is_heard_by(0)


@on_sqlite
async def test_a_server_that_stops_begins_no_subscription(airing: Airing) -> None:
    airing.operations.stop()

    answers = airing.operations.subscribe(Asked(CHANGES, None, None), airing.operations.context(Caller(), "1"))

    assert [answer.codes async for answer in answers] == [["UNAVAILABLE"]]


async def test_a_server_that_stops_ends_the_stream(make_server: Callable[..., Server]) -> None:
    server = make_server()
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http, streams(http, CHANGES) as response:
        async with asyncio.timeout(2):
            stopping = asyncio.create_task(server.stop(signal.SIGTERM))
            events = [event async for event in told(response)]
            assert await stopping == 0

    assert events == []
    assert "Traceback" not in server.log.read_text()
