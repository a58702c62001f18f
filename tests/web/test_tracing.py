import asyncio
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from app import create_app
from models.reads import query
from settings import ROOT, SettingError, Settings
from tests.attacks.conftest import NEVER_LOGGED, WRONG
from tests.collector import collecting
from tests.conftest import Server, settings_of
from tests.people import PASSWORD, SIGNIN, Person
from tests.sockets import Airing
from tests.web.test_logging import written
from web.collector import Collector
from web.log import TRACE_ID
from web.metrics import SPANS_LOST
from web.tracing import ASKED_A_SECOND, Traces

on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LIST = "query List { events { nodes { title creator { username events { nodes { title } } } } } }"


class Seen:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self._memory)

    def forget(self) -> None:
        self._memory.clear()

    @property
    def all(self) -> list[ReadableSpan]:
        """In the order in which they began."""
        return sorted(self._memory.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def requests(self) -> list[ReadableSpan]:
        return [span for span in self.all if span.kind is SpanKind.SERVER]

    @property
    def request(self) -> ReadableSpan:
        [span] = self.requests
        return span

    def below(self, above: ReadableSpan) -> list[ReadableSpan]:
        spans = [span for span in self.all if span.parent and span.parent.span_id == above.context.span_id]
        assert all(span.context.trace_id == above.context.trace_id for span in spans)
        return spans

    @property
    def statements(self) -> list[str]:
        """Of the one request."""
        return [span.name for span in self.below(self.request)]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()
    monkeypatch.setattr(Traces, "sent_to", lambda url, share: Traces(seen.processor, share))
    return seen


@pytest.fixture
def settings(settings: Settings, seen: Seen) -> Settings:
    """With traces, which are not sent but seen."""
    return settings.model_copy(update={"traces_url": "http://127.0.0.1:1", "traces_share": 1.0})


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_request_is_a_span_with_its_statements_below_it(ana: Person, seen: Seen) -> None:
    seen.forget()
    answer = await ana.asks("query Mine { me { id } events { nodes { title } } }")

    request, below = seen.request, seen.below(seen.request)
    assert request.name == "query"
    assert request.parent is None
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/graphql",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "graphql.operation.type": "query",
        "graphql.operation.name": "Mine",
        "planner.request.id": answer.response.headers["x-request-id"],
        "enduser.id": ana.id,
    }
    assert {span.name for span in below} == {"SELECT sessions", "SELECT events"}
    for span in below:
        assert span.kind is SpanKind.CLIENT
        assert request.start_time <= span.start_time <= span.end_time <= request.end_time  # type: ignore[operator]
        assert span.status.status_code is StatusCode.UNSET


async def test_a_statement_has_its_text_with_placeholders(ana: Person, seen: Seen, settings: Settings) -> None:
    seen.forget()
    await ana.asks('{ event(id: "01a21099-a02b-791a-a294-bc3e10c22652") { title } }')

    [statement] = [span for span in seen.below(seen.request) if span.name == "SELECT events"]
    is_sqlite = settings.database_url.startswith("sqlite")
    assert attributes(statement) == {
        "db.system.name": "sqlite" if is_sqlite else "postgresql",
        "db.query.summary": "SELECT events",
        "db.query.text": 'SELECT t."id" AS c0, t."title" AS c1, 0 AS part FROM "events" t WHERE t.id = ?'
        if is_sqlite
        else 'SELECT t."id"::text AS c0, t."title" AS c1, 0 AS part FROM "events" t WHERE t.id = $1',
    }


async def test_a_transaction_is_seen_from_its_beginning_to_its_commit(ana: Person, seen: Seen) -> None:
    event = await ana.creates_event()
    seen.forget()
    await ana.rsvps(event)

    statements = seen.statements
    begun = statements.index("BEGIN")
    assert statements[:begun] == ["SELECT sessions", "SELECT rsvps"]
    assert statements[begun + 1] == "UPDATE events"
    assert statements[-1] == "COMMIT"
    spans = seen.below(seen.request)
    assert all((one.end_time or 0) <= (next.start_time or 0) for one, next in itertools.pairwise(spans))


async def test_a_clients_trace_goes_on(http: httpx.AsyncClient, seen: Seen) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "rojo=1,congo=2"}
    await http.post("/graphql", json={"query": "{ events { totalCount } }"}, headers=headers)

    parent = seen.request.parent
    assert parent is not None
    assert (format_trace_id(parent.trace_id), format_span_id(parent.span_id)) == (TRACE, SPAN)
    assert format_trace_id(seen.request.context.trace_id) == TRACE
    assert seen.request.context.trace_state.to_header() == "rojo=1,congo=2"
    assert seen.statements == ["SELECT events"]


async def test_what_a_client_does_not_record_is_not_recorded_here(http: httpx.AsyncClient, seen: Seen) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    await http.post("/graphql", json={"query": "{ events { totalCount } }"}, headers=headers)

    assert seen.all == []


@pytest.mark.parametrize(
    "traceparent",
    ["", "00", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", "é" * 9_999],
    ids=["empty", "short", "no trace", "version", "longer", "long"],
)
@on_sqlite
async def test_a_traceparent_that_is_none_begins_a_trace_and_is_not_logged(
    http: httpx.AsyncClient, seen: Seen, traceparent: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [(b"traceparent", traceparent.encode("latin-1")), (b"tracestate", b"\xe9\xe9=" * 500)]
    await http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)

    assert seen.request.parent is None
    assert format_trace_id(seen.request.context.trace_id) != TRACE
    assert caplog.messages == []


@on_sqlite
async def test_a_web_page_may_send_its_trace(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"allowed_origins": ("https://app.example.org",)}))
    headers = {
        "origin": "https://app.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,traceparent,tracestate",
    }
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://planner.test") as http:
        assert (await http.options("/graphql", headers=headers)).status_code == 200


@pytest.fixture
def unsampled(seen: Seen) -> Callable[..., Any]:
    """Asks an application that does nothing, where none are traced by chance."""

    async def nothing(*_: Any) -> Any:
        """Answers nobody."""

    app = Traces(seen.processor, 0).requests(nothing, "/graphql")

    async def ask(*headers: tuple[bytes, bytes]) -> None:
        await app({"type": "http", "method": "POST", "scheme": "http", "headers": headers}, nothing, nothing)

    return ask


async def test_clients_ask_for_no_more_traces_than_there_is_room_for(
    unsampled: Callable[..., Any], seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.log.time.monotonic", lambda: 7.0)
    asked = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    for _ in range(ASKED_A_SECOND + 10):
        await unsampled()
        await unsampled(asked)
    assert len(seen.all) == ASKED_A_SECOND

    monkeypatch.setattr("web.log.time.monotonic", lambda: 8.0)
    await unsampled(asked)
    assert len(seen.all) == ASKED_A_SECOND + 1


async def test_a_share_of_the_requests_is_traced(seen: Seen) -> None:
    traces = Traces(seen.processor, 0.2)
    for _ in range(1_000):
        with traces.operation():
            pass

    assert 120 < len(seen.all) < 280  # 200 expected; six standard deviations


async def test_requests_at_the_same_time_keep_to_their_own(ana: Person, http: httpx.AsyncClient, seen: Seen) -> None:
    await ana.creates_event()
    await ana.asks(LIST)
    seen.forget()
    await ana.asks(LIST)
    alone = seen.statements  # of which one is asked by a DataLoader, in a task of its own
    assert alone == ["SELECT events", "SELECT events"]
    seen.forget()

    traces = [f"{number:032x}" for number in range(1, 21)]
    for_each = [{"traceparent": f"00-{trace}-{SPAN}-01"} for trace in traces]
    await asyncio.gather(*[http.post("/graphql", json={"query": LIST}, headers=headers) for headers in for_each])

    assert sorted(format_trace_id(span.context.trace_id) for span in seen.requests) == traces
    for request in seen.requests:
        assert [span.name for span in seen.below(request)] == alone


@on_sqlite
async def test_a_fault_is_told_by_its_kind_alone(ana: Person, seen: Seen) -> None:
    await query("ALTER TABLE events RENAME TO away", [])
    seen.forget()
    assert (await ana.asks("{ events { nodes { title } } }")).code == "INTERNAL"

    request, [statement] = seen.request, seen.below(seen.request)
    assert (request.status.status_code, request.status.description) == (StatusCode.ERROR, None)
    assert (statement.status.status_code, statement.status.description) == (StatusCode.ERROR, None)
    assert attributes(request)["error.type"] == "INTERNAL"
    assert attributes(request)["planner.error.codes"] == ("INTERNAL",)
    assert attributes(statement)["error.type"] == "OperationalError"
    assert [span.events for span in seen.all] == [(), ()]


@on_sqlite
async def test_a_refusal_is_no_fault(anybody: Person, seen: Seen) -> None:
    await anybody.tries_to_create()
    await anybody.asks("{ nothing }")
    await anybody.http.post("/graphql", json={})

    assert [span.name for span in seen.requests] == ["mutation", "POST /graphql", "POST /graphql"]
    told = [(span.status.status_code, attributes(span).get("planner.error.codes")) for span in seen.requests]
    assert told == [
        (StatusCode.UNSET, ("UNAUTHENTICATED",)),
        (StatusCode.UNSET, ("GRAPHQL_INVALID",)),
        (StatusCode.UNSET, None),
    ]
    assert [attributes(span)["http.response.status_code"] for span in seen.requests] == [200, 200, 400]


async def test_a_calendar_is_told_by_its_route(ana: Person, http: httpx.AsyncClient, seen: Seen) -> None:
    address = urlsplit((await ana.asks("{ me { calendarUrl } }")).data["me"]["calendarUrl"]).path
    seen.forget()
    assert (await http.get(address)).status_code == 200

    route = "/calendars/account/{user_id}/{key}.ics"
    assert seen.request.name == f"GET {route}"
    assert attributes(seen.request)["http.route"] == route
    assert seen.statements[0] == "SELECT users"
    assert "SELECT events" in seen.statements


async def test_no_attribute_holds_a_secret(ana: Person, http: httpx.AsyncClient, seen: Seen) -> None:
    signin = (await ana.signs_in()).data["signin"]
    await ana.signs_in(password=WRONG)
    await ana.signs_up()  # is refused, by an index or by what is read before
    literal = f'mutation In {{ signin(input: {{email: "{ana.email}", password: "{WRONG}"}}) {{ accessToken }} }}'
    await ana.asks(literal)
    await ana.asks("mutation ($p: String!) { changePassword(currentPassword: $p, newPassword: $p) { id } }", p=PASSWORD)
    await ana.asks("mutation ($t: String!) { refresh(refreshToken: $t) { accessToken } }", t=signin["refreshToken"])
    await ana.asks('{ events(search: "a hidden word") { totalCount } }')
    await ana.creates_event(title="a hidden title", tags=["hidden"])
    private = await ana.asks("{ me { calendarUrl } }")
    address = urlsplit(private.data["me"]["calendarUrl"]).path
    for path in (address, f"{address}?token={ana.token}", address.replace(".ics", "x.ics")):
        await http.get(path)
    asked = {"query": SIGNIN, "variables": json.dumps({"input": {"email": ana.email, "password": WRONG}})}
    await http.get("/graphql", params={**asked, "token": ana.token or ""})
    await http.get("/graphql", headers={"cookie": f"session={ana.token}", "user-agent": ana.token or ""})

    told = "\n".join(span.to_json() for span in seen.all)
    assert len(seen.requests) > 12
    tokens = {value for name, value in signin.items() if name.endswith("Token")}
    secrets = {*NEVER_LOGGED, *tokens, ana.email, "hidden", address.rpartition("/")[2].removesuffix(".ics")}
    assert {secret for secret in secrets if secret in told} == set()


@pytest.fixture
async def airing(settings: Settings, app: FastAPI, seen: Seen) -> AsyncIterator[Airing]:
    airing = Airing(settings)
    airing.operations._traces = Traces(seen.processor, 1)  # its statements are followed by the application's
    async with airing.served():
        yield airing


async def test_what_comes_by_a_socket_is_a_trace_each(airing: Airing, ana: Person, seen: Seen) -> None:
    seen.forget()
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    async with airing.socket(ana, additional_headers=headers) as socket:
        for _ in range(2):
            await socket.asks("query Me { me { id } }")
            assert (await socket.data())["me"]["id"] == ana.id
            assert (await socket.hears())["type"] == "complete"

    first, second = seen.requests
    assert first.context.trace_id != second.context.trace_id
    assert format_trace_id(first.context.trace_id) != TRACE
    for request in (first, second):
        assert (request.name, request.parent) == ("query", None)
        assert attributes(request)["network.protocol.name"] == "websocket"
        assert attributes(request)["enduser.id"] == ana.id
        assert [span.name for span in seen.below(request)] == ["SELECT sessions"]


async def test_each_answer_of_a_subscription_is_a_trace(airing: Airing, ana: Person, seen: Seen) -> None:
    event = await ana.creates_event()
    async with airing.socket(ana) as socket:
        await socket.asks("subscription Mine { myRsvpChanged { status } }")
        await airing.is_heard_by(1, f"places of {ana.id}")
        seen.forget()
        await ana.rsvps(event)
        assert (await socket.data())["myRsvpChanged"]["status"] == "CONFIRMED"
        await ana.cancels_rsvp(event)
        assert (await socket.data())["myRsvpChanged"]["status"] == "CANCELLED"
        told = [span for span in seen.requests if span.name == "subscription"]

    assert len(told) == 2
    for answer in told:
        assert attributes(answer)["graphql.operation.name"] == "Mine"
        assert [span.name for span in seen.below(answer)] == ["SELECT sessions", "SELECT rsvps"]
    assert len([span for span in seen.requests if span.name == "subscription"]) == 2  # its end is none


async def test_a_server_sends_its_traces_and_logs_their_ids(make_server: Callable[..., Server]) -> None:
    with collecting() as (url, batches):
        server = make_server(TRACES_URL=url, TRACES_SHARE="1", LOG_FORMAT="json", LOG_REQUESTS="1")
        await server.start()
        async with httpx.AsyncClient(base_url=server.url) as http:
            ana = Person(http, "ana")
            await ana.signs_up()
            events = {"query": "subscription { eventChanged { kind } }"}
            headers = {
                "accept": "text/event-stream",
                "traceparent": f"00-{TRACE}-{SPAN}-01",
                "authorization": f"Bearer {ana.token}",
            }
            async with http.stream("POST", "/graphql", json=events, headers=headers) as stream:
                lines = stream.aiter_lines()
                await anext(lines)  # it is subscribed
                await ana.creates_event()
                async for line in lines:
                    if "CREATED" in line:
                        break
        assert await server.stop(signal.SIGTERM) == 0  # and what waited is sent

    [*resources] = [resource for batch in batches for resource in batch.resource_spans]
    assert {(one.key, one.value.string_value) for one in resources[0].resource.attributes} >= {
        ("service.name", "planner")
    }
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    requests = {span.name: span for span in spans if not span.parent_span_id or span.parent_span_id.hex() == SPAN}
    assert {"mutation", "subscription", "POST /graphql"} <= requests.keys()
    assert requests["POST /graphql"].trace_id.hex() == TRACE  # ended where the stream began
    assert [link.trace_id.hex() for link in requests["subscription"].links] == [TRACE]
    below = {name: [one.name for one in spans if one.parent_span_id == span.span_id] for name, span in requests.items()}
    assert any(name.startswith("INSERT") for name in below["mutation"])
    assert below["POST /graphql"] == []  # that the stream looks after its session is not the request's any more
    logged = [json.loads(line) for line in server.log.read_text().splitlines()[1:]]
    traced = {line.get("trace_id") for line in logged if line.get("kind") == "mutation"}
    assert requests["mutation"].trace_id.hex() in traced


async def test_at_the_end_what_waits_is_sent() -> None:
    with collecting() as (url, batches):
        traces = Traces.sent_to(url, 1)
        with traces.operation():
            pass
        await traces.close()

        assert [len(batch.resource_spans) for batch in batches] == [1]


@on_sqlite
async def test_a_collector_that_says_nothing_holds_up_nobody(make_server: Callable[..., Server]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        server = make_server(TRACES_URL=f"http://127.0.0.1:{silent.getsockname()[1]}", TRACES_SHARE="1")
        await server.start()
        async with httpx.AsyncClient(base_url=server.url) as http:
            begun = time.perf_counter()
            for _ in range(300):
                await Person(http).asks("{ __typename }")
            took = time.perf_counter() - begun
        begun = time.perf_counter()
        assert await server.stop(signal.SIGTERM) == 0

    assert took < 10
    assert time.perf_counter() - begun < 8


def test_what_a_collector_does_not_take_is_counted_and_told_once(
    seen: Seen, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    with Traces(seen.processor, 1).operation():
        pass
    lost, clock = SPANS_LOST._value.get(), SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("web.collector.time", clock)
    with collecting() as (url, _):
        collector = Collector(url)

    def takes(*seconds: float) -> list[bool]:
        taken = []
        for clock.now in seconds:
            taken.append(collector.export(seen.all) is SpanExportResult.SUCCESS)
        return taken

    assert takes(0, 1, 6) == [False, False, False]
    with collecting(urlsplit(url).port) as (_, batches):
        assert takes(7, 11, 12) == [False, True, True]  # at first it is not asked, since it was away just now

    assert len(batches) == 2
    assert SPANS_LOST._value.get() - lost == 4
    assert caplog.messages == [
        f"traces are lost: {url}/v1/traces takes none: [Errno 111] Connection refused",
        f"traces are taken again at {url}/v1/traces",
    ]


def test_a_line_has_the_id_of_its_trace() -> None:
    record = logging.makeLogRecord({"msg": "found"})
    assert "trace_id" not in written(record)

    token = TRACE_ID.set(TRACE)
    assert written(record)["trace_id"] == TRACE
    TRACE_ID.reset(token)


def test_without_the_packages_a_start_with_traces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "web.tracing")
    monkeypatch.delitem(sys.modules, "web.collector")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = settings_of("sqlite://x.sqlite3", traces_url="http://127.0.0.1:4318")

    with pytest.raises(SettingError, match=r"TRACES_URL needs opentelemetry\.sdk\.trace, .* Run make otel\."):
        create_app(settings)


def test_without_the_packages_a_start_without_traces_is_as_ever() -> None:
    missing = {f"opentelemetry.{name}": None for name in ("sdk", "exporter", "proto", "semconv")}
    code = f"import sys; sys.modules |= {missing}; import app, settings; app.create_app(settings.read_settings())"
    environment = {**os.environ, "SECRET_KEY": "x" * 40}

    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (0, "")


@on_sqlite
async def test_fastapi_traces_nothing_by_itself(
    ana: Person, http: httpx.AsyncClient, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    others, provider = Seen(), TracerProvider()
    provider.add_span_processor(others.processor)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    assert (await http.get("/health/live")).status_code == 200

    assert others.all == []
