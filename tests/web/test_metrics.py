import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from auth.attempts import Kind
from errors import ErrorCode
from executor.compiler import Reason
from replicas import FellBehind
from replicas.redis import Why
from settings import ROOT, Settings
from tests.attacks.conftest import NEVER_LOGGED, WRONG
from tests.conftest import Server, settings_of
from tests.people import Person
from tests.prometheus import Told, alerts, free_port, series_in
from tests.redis import RedisServer
from tests.sockets import Airing, Socket, until
from web.caller import Caller
from web.metrics import Metrics
from web.operations import Asked
from web.websocket import PROTOCOL

PAGE = (ROOT / "docs/monitoring.md").read_text("utf-8")
DASHBOARD = ROOT / "deploy/grafana/planner.json"
LISTEN = "subscription Listen { eventChanged { kind } }"
on_postgresql = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


async def lives(server: Server) -> set[str]:
    """Does a bit of everything that is counted. What it was told that is secret."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        ana = Person(http, "ana")
        first = (await ana.signs_up()).data["signup"]
        for _ in range(3):
            await ana.asks("query Me { me { username } }")
            await ana.asks("{ __typename }")
        await ana.asks("{ nothing }")
        await http.post("/graphql", json={})
        event = await ana.creates_event()
        feed = f"/calendars/event/{event['id']}.ics"
        tag = (await http.get(feed)).headers["etag"]
        await http.get(feed, headers={"if-none-match": tag})
        await http.get("/calendars/event/42.ics")
        refresh = "mutation ($t: String!) { refresh(refreshToken: $t) { accessToken refreshToken } }"
        second = (await ana.asks(refresh, t=first["refreshToken"])).data["refresh"]
        third = (await ana.asks(refresh, t=second["refreshToken"])).data["refresh"]
        assert (await ana.asks(refresh, t=first["refreshToken"])).code == "TOKEN_REVOKED"
        for _ in range(3):
            await ana.signs_in(password=WRONG)
        await asyncio.gather(*[Person(http).signs_up() for _ in range(12)])
        await asyncio.gather(*[Person(http).asks(f"{{ events {{ totalCount }} a{n}: __typename }}") for n in range(12)])
    return {value for one in (first, second, third) for key, value in one.items() if key.endswith("Token")} | {
        ana.id,
        ana.email,
    }


@on_postgresql
async def test_after_a_life_of_requests_every_metric_of_the_page_is_told(
    make_server: Callable[..., Server], migrated: dict[str, Settings], redis: RedisServer
) -> None:
    port = free_port()
    server = make_server(
        METRICS_PORT=str(port),
        BCRYPT_QUEUE="1",
        ACCOUNT_GUESSES_PER_HOUR="4",
        DATABASE_POOL_SIZE="1",
        DATABASE_READ_URL=migrated["postgresql"].database_url,
        REDIS_URL=redis.url,
        LOG_FORMAT="json",
    )
    await server.start()
    secrets = await lives(server)
    address = server.url.replace("http", "ws")
    async with (
        httpx.AsyncClient(base_url=server.url) as http,
        http.stream("POST", "/graphql", json={"query": LISTEN}, headers={"accept": "text/event-stream"}) as stream,
        connect(f"{address}/graphql", subprotocols=[Subprotocol(PROTOCOL)]) as connection,
    ):
        hears = Socket(connection)
        await hears.initialises()
        await hears.asks(LISTEN)
        async with asyncio.timeout(10):
            while (told := await Told.by(port)).value("planner_subscriptions") < 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert stream.status_code == 200

    assert told.own == set(re.findall(r"^\| `(planner_\w+)` \|", PAGE, re.MULTILINE))
    assert told.labels("planner_operation_seconds_count", "operation") == {"Me", "anonymous", "other", "refused"}
    assert told.value("planner_operation_seconds_count", operation="Me", kind="query") == 2  # the first is other's
    assert told.value("planner_operation_seconds_count", operation="refused") == 1
    for code in ("GRAPHQL_INVALID", "BAD_REQUEST", "TOKEN_REVOKED", "RATE_LIMITED", "UNAVAILABLE"):
        assert told.value("planner_errors_total", code=code) > 0, code
    for status in ("200", "304", "404"):
        assert told.value("planner_feeds_total", status=status) == 1, status
    exactly = {
        "planner_websockets": 1,
        "planner_streams": 1,
        "planner_subscriptions": 2,
        "planner_refresh_tokens_reused_total": 1,
        "planner_database_connections": 1,
        "planner_database_connections_free": 1,
        "planner_database_connections_most": 1,
        "planner_database_waiting": 0,
        "planner_event_turns_waiting": 0,
        "planner_hashes_pending": 0,
        "planner_database_answers": 1,
        "planner_redis_answers": 1,
    }
    assert {name: told.value(name) for name in exactly} == exactly
    for name in (
        "planner_attempts_refused_total",
        "planner_hashes_refused_total",
        "planner_documents_kept",
        "planner_documents_found_total",
        "planner_documents_not_found_total",
        "planner_database_waits_total",
        "planner_loop_lag_seconds_count",
        "process_resident_memory_bytes",
        "process_open_fds",
    ):
        assert told.value(name) > 0, name
    assert {secret for secret in {*secrets, *NEVER_LOGGED, "ana"} if secret in told.text} == set()
    asked = expressions()
    assert len(asked) > 30
    assert {name for one in asked for name, _ in series_in(one)} - told.names - {"up"} == set()  # up is Prometheus' own


@on_postgresql
async def test_what_alerts_ask_for_is_told_before_the_first_request(
    make_server: Callable[..., Server], migrated: dict[str, Settings]
) -> None:
    """A series that begins with what it is to tell of begins at 1, and Prometheus knows no increase of it."""
    port = free_port()
    replica = migrated["postgresql"].database_url
    server = make_server(METRICS_PORT=str(port), DATABASE_READ_URL=replica, REDIS_URL="redis://127.0.0.1:1")
    await server.start()
    told = await Told.by(port)

    for rule in alerts():
        for name, labels in series_in(rule.expression):
            labels.pop("job", None)  # Prometheus' own, as is `up`
            assert name == "up" or told.tells(name, labels), (name, labels)
    assert told.labels("planner_errors_total", "code") == {*ErrorCode}
    assert told.labels("planner_changes_missed_total", "why") == {*Why}
    assert told.labels("planner_attempts_refused_total", "kind") == {*Kind}
    assert told.labels("planner_documents_not_compiled_total", "reason") == {*Reason}
    assert told.labels("planner_feeds_total", "status") == {"200", "304", "404", "500", "503"}


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_it_is_told_whether_redis_answers(make_server: Callable[..., Server], redis: RedisServer) -> None:
    port = free_port()
    server = make_server(METRICS_PORT=str(port), REDIS_URL=redis.url)
    await server.start()

    async def is_told(value: float) -> None:
        async with asyncio.timeout(15):
            while (await Told.by(port)).value("planner_redis_answers") != value:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    await is_told(1)
    redis.stop()
    await is_told(0)
    await redis.start()
    await is_told(1)


def expressions() -> list[str]:
    """Those of the dashboard and of the alerts."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*shown, *(rule.expression for rule in alerts())]


@pytest.fixture
async def airing(tmp_path: Path) -> AsyncIterator[Airing]:
    airing = Airing(settings_of(f"sqlite://{tmp_path}/none.sqlite3"))
    yield airing
    airing.accounts.passwords.close()


async def asks(airing: Airing, query: str, name: str | None = None) -> None:
    context = airing.operations.context(Caller(), "an id")
    await airing.operations.execute(Asked(query, None, name), context)


def told(metrics: Metrics) -> Told:
    return Told(generate_latest(metrics.registry).decode())


async def test_a_name_is_told_from_its_documents_second_use_on(airing: Airing) -> None:
    await asks(airing, "query Once { __typename }")
    for _ in range(3):
        await asks(airing, "query Often { __typename }")

    heard = told(airing.operations.metrics)
    assert heard.value("planner_operation_seconds_count", operation="Often") == 2
    assert heard.value("planner_operation_seconds_count", operation="other") == 2
    assert heard.value("planner_operation_seconds_bucket", operation="Often", le="+Inf") == 2
    assert 0 < heard.value("planner_operation_seconds_sum", operation="Often") < 1


async def test_names_are_renewed_while_somebody_may_want_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.metrics.RENEW_SECONDS", 0.01)
    metrics, renewed = Metrics(), asyncio.Event()
    monkeypatch.setattr(metrics.operations, "renew", renewed.set)

    async with metrics.served("127.0.0.1", free_port()), asyncio.timeout(10):
        await renewed.wait()


async def test_a_calendar_that_fails_is_counted() -> None:
    metrics = Metrics()

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the lamp broke")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(metrics.count_feeds(fails))) as http:
        for path in ("/calendars/event/42.ics", "/health/ready"):
            with pytest.raises(RuntimeError):
                await http.get(f"http://planner.test{path}")

    assert told(metrics).value("planner_feeds_total", status="500") == 1


async def test_a_subscriber_that_falls_behind_is_counted(airing: Airing, monkeypatch: pytest.MonkeyPatch) -> None:
    context = airing.operations.context(Caller(), "an id")
    answers = airing.operations.subscribe(Asked(LISTEN, None, None), context)
    heard = asyncio.ensure_future(anext(answers))
    await until(lambda: airing.replicas.subscribers("events") == 1)
    [subscription] = airing.replicas._subscriptions["events"]
    subscription._end = FellBehind()
    subscription._news.set()

    with pytest.raises(FellBehind):
        await heard

    metrics = told(airing.operations.metrics)
    assert metrics.value("planner_subscriptions_fell_behind_total") == 1
    assert metrics.value("planner_subscriptions") == 0


async def test_it_tells_while_the_event_loop_is_blocked_and_how_late_that_made_it() -> None:
    metrics = Metrics()
    async with metrics.served("127.0.0.1", free_port()) as port:

        def scrape() -> tuple[Told, float]:
            return Told(httpx.get(f"http://127.0.0.1:{port}/metrics").text), time.perf_counter()

        await asyncio.sleep(0)  # the timer is set
        scraping = asyncio.get_running_loop().run_in_executor(None, scrape)
        time.sleep(1.5)  # noqa: ASYNC251 - what must not happen, and is to be seen
        until = time.perf_counter()
        _, answered = await scraping
        await asyncio.sleep(0.1)
        told, _ = await asyncio.to_thread(scrape)

    assert answered < until
    late, lag = "planner_loop_lag_seconds_bucket", "planner_loop_lag_seconds_count"
    assert told.value(lag) - told.value(late, le="1.0") == 1


async def test_workers_of_one_machine_share_out_the_ports_and_give_them_back() -> None:
    port, first, second, successor = free_port(), Metrics(), Metrics(), Metrics()
    for number, metrics in enumerate((first, second, successor), 1):
        metrics.sockets.set(number)

    async def heard_at(port: int) -> float:
        answer = await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/metrics")
        return Told(answer.text).value("planner_websockets")

    async with first.served("127.0.0.1", port) as at_first:
        async with second.served("127.0.0.1", port) as at_second:
            assert at_first < at_second
            assert [await heard_at(at_first), await heard_at(at_second)] == [1, 2]
        async with successor.served("127.0.0.1", port) as at_last:
            assert at_last == at_second
            assert await heard_at(at_last) == 3


async def test_the_public_port_tells_none(http: httpx.AsyncClient, settings: Settings) -> None:
    assert settings.metrics_port == 0
    assert (await http.get("/metrics")).status_code == 404
