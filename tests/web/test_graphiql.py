"""The explorer, as a person meets it: in a real browser that no other machine answers."""

import gzip
import json
import re
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_schema, parse, validate
from playwright.async_api import Response
from starlette.applications import Starlette

from settings import ROOT
from tests.browser import open_browser
from tests.conftest import Server
from tests.explorer import Explorer
from tests.people import Person
from web import graphiql

TITLE = "FastAPI 책 출간 행사"


@pytest.fixture
async def explorer(live_server: Server) -> AsyncIterator[Explorer]:
    async with open_browser() as browser:
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        explorer = Explorer(page, live_server.url)
        await explorer.opens()
        yield explorer


def code_of(answer: Any) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


async def test_the_walk_leads_to_an_event_and_nothing_leaves_the_machine(
    explorer: Explorer, live_server: Server
) -> None:
    await explorer.shoots("1-opened")
    assert "Welcome to the planner" in await explorer.holds("operation.graphql")
    assert "The token goes here" in await explorer.holds("request-headers.json")
    assert code_of(await explorer.runs("CreateEvent")) == "UNAUTHENTICATED"

    signed_up = await explorer.runs("SignUp")
    await explorer.shoots("2-signed-up")
    await explorer.uses_the_token()
    await explorer.shoots("3-token-used")
    first = await explorer.sends()
    assert first == signed_up["data"]["signup"]["accessToken"]
    assert (await explorer.runs("WhoAmI"))["data"]["me"]["username"] == "ana"

    created = await explorer.runs("CreateEvent")
    assert created["data"]["createEvent"]["title"] == TITLE
    await explorer.shoots("4-created")
    events = (await explorer.runs("ListEvents"))["data"]["events"]["nodes"]
    assert [(event["title"], event["tags"], event["location"], event["creator"]["username"]) for event in events] == [
        (TITLE, ["python", "fastapi", "책"], "Google Meet", "ana")
    ]
    await explorer.shoots("5-listed")

    variables = json.loads(await explorer.holds("variables.json"))
    variables["id"] = created["data"]["createEvent"]["id"]
    await explorer.pastes_variables(json.dumps(variables, indent=2, ensure_ascii=False))
    assert (await explorer.runs("UpdateEvent"))["data"]["updateEvent"]["version"] == 2
    assert code_of(await explorer.runs("UpdateEvent")) == "CONFLICT"
    assert (await explorer.runs("TakeSeat"))["data"]["rsvp"]["status"] == "CONFIRMED"
    assert (await explorer.runs("GiveUpSeat"))["data"]["cancelRsvp"]["status"] == "CANCELLED"
    found = (await explorer.runs("FindEvents"))["data"]["events"]
    assert [event["title"] for event in found["nodes"]] == [TITLE]
    async with httpx.AsyncClient() as client:
        assert "SUMMARY:" + TITLE in (await client.get(found["icsUrl"])).text
    await explorer.shoots("6-found")

    await explorer.page.get_by_role("button", name="Show Documentation Explorer").click()
    await explorer.page.locator(".graphiql-plugin").get_by_text("CreateEventInput").wait_for()
    await explorer.shoots("7-docs")
    await explorer.page.get_by_role("button", name="Show History").click()
    await explorer.page.locator(".graphiql-plugin").get_by_text("WhoAmI").wait_for()
    await explorer.shoots("8-history")

    expired = await live_server.token_of("ana@test.com", age=timedelta(days=1))
    await explorer.pastes_headers(json.dumps({"Authorization": f"Bearer {expired}", "X-Mine": "stays"}))
    assert code_of(await explorer.runs("CreateEvent")) == "TOKEN_EXPIRED"
    await explorer.page.locator(".graphiql-response", has_text="TOKEN_EXPIRED").wait_for()
    await explorer.shoots("9-expired")
    await explorer.runs("SignIn")
    await explorer.uses_the_token()
    second = await explorer.sends()
    assert second not in {first, expired}
    assert '"X-Mine": "stays"' in await explorer.holds("request-headers.json")
    assert (await explorer.runs("WhoAmI"))["data"]["me"]["username"] == "ana"

    kept = await explorer.keeps("WhoAmI")
    assert "graphiql:queries" in kept
    assert not [token for token in (first, expired, second) if token in kept]
    assert await explorer.page.evaluate("localStorage.length") == 0
    assert explorer.page.url == f"{live_server.url}/graphql"
    assert explorer.outside == []
    assert explorer.complaints == []


async def test_a_reload_keeps_what_was_typed_and_forgets_the_token(explorer: Explorer) -> None:
    await explorer.pastes_a_query("query Mine { tags { tag } }")
    await explorer.pastes_headers('{"Authorization": "Bearer my.own.token"}')
    kept = await explorer.keeps("Mine")
    assert explorer.page.url == f"{explorer.url}/graphql"
    await explorer.page.emulate_media(color_scheme="dark")
    await explorer.page.reload()
    await explorer.is_ready()
    await explorer.shoots("10-dark")

    assert await explorer.holds("operation.graphql") == "query Mine { tags { tag } }"
    assert TITLE in await explorer.holds("variables.json")
    assert "The token goes here" in await explorer.holds("request-headers.json")
    assert "my.own.token" not in kept + await explorer.keeps("Mine")
    assert await explorer.page.locator("[role=tab]").count() == 1
    assert explorer.outside == []
    assert explorer.complaints == []


LIVE = """
subscription Live { eventChanged { kind event { title } } }
query Then { tags { tag } }
"""


async def test_a_subscription_shows_each_change_until_it_is_stopped(explorer: Explorer, live_server: Server) -> None:
    async with httpx.AsyncClient(base_url=live_server.url) as http:
        ana = Person(http, "ana")
        await ana.signs_up()
        await explorer.pastes_a_query(LIVE)
        async with explorer.page.expect_response(is_a_stream) as stream:
            await explorer.starts("Live")
        for title in ("One", "둘\u2028줄"):
            await ana.creates_event(title=title)
            assert (await explorer.is_shown())["data"]["eventChanged"] == {"kind": "CREATED", "event": {"title": title}}
            await explorer.shoots("11-live")
            await explorer.clears()

        async with explorer.page.expect_event("requestfailed") as ended:
            await explorer.stops()
        assert await ended.value == (await stream.value).request
        await ana.creates_event(title="Three")

        assert (await explorer.runs("Then"))["data"] == {"tags": []}
    assert explorer.outside == []
    assert explorer.complaints == []


async def test_a_subscription_that_the_server_ends_says_so(explorer: Explorer, live_server: Server) -> None:
    await explorer.pastes_a_query(LIVE)
    async with explorer.page.expect_response(is_a_stream):
        await explorer.starts("Live")

    await live_server.stop(signal.SIGTERM)

    await explorer.page.locator(".graphiql-response", has_text="The server has ended the subscription").wait_for()
    await explorer.page.get_by_role("button", name="Execute query").wait_for()


async def test_a_subscription_that_needs_a_token_says_so(explorer: Explorer) -> None:
    await explorer.pastes_a_query("subscription Mine { myRsvpChanged { id } } query Other { tags { tag } }")

    assert code_of(await explorer.runs("Mine")) == "UNAUTHENTICATED"


def is_a_stream(response: Response) -> bool:
    return response.headers["content-type"].startswith("text/event-stream")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The explorer's addresses alone."""
    app = Starlette(routes=graphiql.routes())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://planner.test") as client:
        yield client


def test_the_page_runs_no_script_but_ours_and_can_be_framed_by_nobody() -> None:
    headers = graphiql.page().headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["vary"] == "accept"


def test_the_page_names_no_other_machine() -> None:
    assert "//" not in bytes(graphiql.page().body).decode()


def test_without_the_files_the_page_says_what_to_run(tmp_path: Path) -> None:
    page = graphiql.page(tmp_path)

    assert page.status_code == 503
    assert "make install" in bytes(page.body).decode()


async def test_every_file_is_served_for_good_and_under_its_type(http: httpx.AsyncClient) -> None:
    for name in graphiql.FILES:
        answer = await http.get(f"/{graphiql.ASSETS}/{name}")
        asked = await http.head(f"/{graphiql.ASSETS}/{name}")

        assert answer.status_code == asked.status_code == 200, name
        assert asked.headers["content-length"] == answer.headers["content-length"]
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
        expected = {**kind, "json": "application/json", "graphql": "application/graphql"}[name.rpartition(".")[2]]
        assert answer.headers["content-type"].partition(";")[0] == expected


async def test_what_the_page_links_to_is_there(http: httpx.AsyncClient, tmp_path: Path) -> None:
    for page in (graphiql.page(), graphiql.page(tmp_path)):
        links = re.findall(r'(?:href|src)="([^"]+)"', bytes(page.body).decode())
        assert links
        assert [link for link in links if (await http.get(f"/{link}")).status_code != 200] == []


async def test_the_large_files_travel_compressed_where_the_browser_takes_that(http: httpx.AsyncClient) -> None:
    address = f"/{graphiql.ASSETS}/graphiql.js"
    async with http.stream("GET", address, headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    plain = await http.get(address, headers={"accept-encoding": "identity"})

    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert answer.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 3


@pytest.mark.parametrize("name", ["package.py", "..%2Fpackage.py", "explorer.html", "graphiql.js.gz", "%2e%2e", ""])
async def test_no_other_file_is_served(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.get(f"/{graphiql.ASSETS}/{name}")).status_code == 404


def test_the_walk_fits_the_schema() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))
    walk = (graphiql.HERE / "walk.graphql").read_text(encoding="utf-8")

    assert validate(schema, parse(walk)) == []
    assert max(map(len, walk.splitlines())) <= 58, "wider than the pane in a window of 1440 pixels"
