import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest

from auth import audit
from tests.attacks.conftest import NEVER_LOGGED, WRONG
from tests.conftest import Server, settings_of
from tests.people import PASSWORD, Person
from tests.sockets import Airing
from web.caller import Caller
from web.log import FAULTS_A_SECOND, REQUEST_ID, Requests, formatter
from web.operations import Asked

log = logging.getLogger("planner.test")
HELLO = "query Hello { __typename }"


def written(record: logging.LogRecord) -> Any:
    text = formatter("json").format(record)
    assert "\n" not in text
    return json.loads(text)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("planner"):
            line = written(record)
            self.told.append({name: value for name, value in line.items() if name != "time"})


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[Any]]]:
    """What was logged since it was last asked, without the time. It is written when it is logged, as servers do."""
    caplog.set_level("INFO")
    heard = _Lines()
    logging.getLogger().addHandler(heard)

    def lines() -> list[Any]:
        told, heard.told = heard.told, []
        return told

    yield lines
    logging.getLogger().removeHandler(heard)


@pytest.mark.parametrize("said", ["plain", 'with "quotes"', "two\nlines\u2028three", "half a pair: \ud83d", "말"])
def test_whatever_is_said_is_one_line(said: str) -> None:
    # Not logged: pytest could not hand half a pair from one process to the other.
    line = written(logging.makeLogRecord({"name": "planner.test", "msg": "it said: %s", "args": (said,)}))

    del line["time"]
    expected = f"it said: {said}".replace("\ud83d", "\\ud83d")
    assert line == {"level": "level none", "logger": "planner.test", "event": expected}


def test_a_line_tells_when_in_utc() -> None:
    record = logging.makeLogRecord({"created": 1_795_567_819.432, "msg": "now"})

    assert written(record)["time"] == "2026-11-25T00:50:19.432+00:00"


def test_an_exception_is_in_its_line(lines: Callable[[], list[Any]]) -> None:
    try:
        raise RuntimeError("the lamp broke")
    except RuntimeError:
        log.exception("a fault")

    [line] = lines()
    assert line["event"] == "a fault"
    assert line["trace"].startswith("Traceback (most recent call last):")
    assert line["trace"].endswith("RuntimeError: the lamp broke")


def caught() -> logging.LogRecord:
    """With what a frame held, and half a surrogate pair."""
    try:
        hush = PASSWORD  # noqa: F841 - what a frame holds
        raise RuntimeError("the lamp broke: \ud83d")
    except RuntimeError:
        return logging.makeLogRecord({"name": "planner.test", "msg": "a fault", "exc_info": sys.exc_info()})


def test_whatever_an_exception_says_can_be_written() -> None:
    assert written(caught())["trace"].endswith("RuntimeError: the lamp broke: \\ud83d")


def test_text_is_for_people_and_grep() -> None:
    facts = {"account": UUID(int=7), "session": "a b", "ms": 1.5}
    told = {"created": 0, "name": "planner.test", "levelname": "INFO", "msg": "found", "facts": facts}
    record = logging.makeLogRecord(told)

    assert formatter("text").format(record) == (
        "1970-01-01T00:00:00.000+00:00 [info     ] found [planner.test]"
        " account=00000000-0000-0000-0000-000000000007 session='a b' ms=1.5"
    )


def test_a_trace_tells_no_variable() -> None:
    text = formatter("text").format(caught())

    assert text.splitlines()[-1] == "RuntimeError: the lamp broke: \ud83d"
    assert PASSWORD not in text


async def test_what_is_logged_for_a_request_has_its_id(lines: Callable[[], list[Any]]) -> None:
    async def request(id: str) -> None:
        REQUEST_ID.set(id)
        await asyncio.sleep(0)
        log.info("found")

    await asyncio.gather(request("1"), request("2"))
    log.info("alone")

    assert [line.get("request") for line in lines()] == ["1", "2", None]


def test_the_audits_facts_are_members(lines: Callable[[], list[Any]]) -> None:
    audit.note("signin", account=1, session=None, address="127.0.0.1")

    assert lines() == [
        {"level": "info", "logger": "planner.audit", "event": "signin", "account": 1, "address": "127.0.0.1"}
    ]


@pytest.fixture
async def airing(tmp_path: Path) -> AsyncIterator[Airing]:
    airing = Airing(settings_of(f"sqlite://{tmp_path}/none.sqlite3"))
    yield airing
    airing.accounts.passwords.close()


async def asks(airing: Airing, query: str) -> None:
    context = airing.operations.context(Caller(), "an id")
    await airing.operations.execute(Asked(query, None, None), context)


async def test_a_request_gets_no_line_unless_it_is_wanted(airing: Airing, lines: Callable[[], list[Any]]) -> None:
    await asks(airing, HELLO)
    await asks(airing, "{ nothing }")

    assert lines() == []


async def test_every_request_gets_a_line_where_all_are_wanted(airing: Airing, lines: Callable[[], list[Any]]) -> None:
    airing.operations.requests = Requests(1)
    await asks(airing, HELLO)
    await asks(airing, "{ a: nothing b: nothing }")
    await asks(airing, f"query {'N' * 300} {{ __typename }}")

    told = [{name: value for name, value in line.items() if name != "ms"} for line in lines()]
    line = {"level": "info", "logger": "planner.request", "event": "request", "request": "an id"}
    assert told == [
        {**line, "operation": "Hello", "kind": "query"},
        {**line, "codes": "GRAPHQL_INVALID"},
        {**line, "operation": "N" * 64, "kind": "query"},
    ]


async def test_a_share_of_the_requests_is_told(airing: Airing, lines: Callable[[], list[Any]]) -> None:
    airing.operations.requests = Requests(0.2)
    for _ in range(1_000):
        await asks(airing, HELLO)

    assert 120 < len(lines()) < 280  # 200 expected; six standard deviations


async def test_faults_are_told_all_the_same_but_do_not_fill_the_disk(
    airing: Airing, lines: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.log.time.monotonic", lambda: 7.0)
    context = airing.operations.context(Caller(), "an id")
    for _ in range(100):
        airing.operations.requests.ran(None, context, 0.5, ["UNAVAILABLE"])
    first = lines()
    monkeypatch.setattr("web.log.time.monotonic", lambda: 8.0)
    airing.operations.requests.ran(None, context, 0.5, ["VALIDATION", "INTERNAL", "INTERNAL"])

    assert len(first) == FAULTS_A_SECOND
    assert {line["level"] for line in first} == {"warning"}
    assert [line["codes"] for line in lines()] == ["VALIDATION,INTERNAL"]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_a_server_logs_json_and_no_secret(make_server: Callable[..., Server]) -> None:
    server = make_server(LOG_FORMAT="json", LOG_REQUESTS="1", LOG_LEVEL="debug")
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        ana = Person(http, "ana")
        signup = await ana.signs_up()
        me = await ana.asks("query Me { me { id } }")
        wrong = await ana.signs_in(password=WRONG)
        bad = await http.post("/graphql", content=WRONG, headers={"content-type": "application/json"})
        await http.get("/graphql", params={"query": "{ __typename }", "token": ana.token or ""})
    assert await server.stop(signal.SIGTERM) == 0

    text = server.log.read_text()
    plain, *rest = text.splitlines()
    assert plain.startswith("The explorer and the API: http")
    told = [orjson.loads(line) for line in rest]
    ids = [answer.response.headers["x-request-id"] for answer in (signup, me, wrong)] + [bad.headers["x-request-id"]]

    def line(logger: str, request: str) -> Any:
        [found] = [one for one in told if one["logger"] == logger and one.get("request") == request]
        return found

    assert line("planner.audit", ids[0])["event"] == "signup"
    assert line("planner.request", ids[0])["kind"] == "mutation"
    assert line("planner.request", ids[0])["ms"] > 10  # a password was hashed
    assert line("planner.request", ids[1])["account"] == ana.id
    assert line("planner.request", ids[1])["operation"] == "Me"
    assert line("planner.request", ids[2])["codes"] == "INVALID_CREDENTIALS"
    assert line("planner.request", ids[3])["status"] == 400
    assert {one["event"].partition(" - ")[2] for one in told if one["logger"] == "uvicorn.access"} >= {
        '"POST /graphql HTTP/1.1" 200',
        '"GET /graphql HTTP/1.1" 200',
    }
    assert {secret for secret in {*NEVER_LOGGED, ana.token or "", ana.email} if secret in text} == set()
