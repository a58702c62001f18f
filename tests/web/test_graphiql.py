"""The explorer, as a person meets it: in a real browser that no other machine answers."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_schema, parse, validate
from playwright.async_api import ConsoleMessage, Page, Request, Route, WebSocket
from starlette.applications import Starlette

from settings import ROOT
from tests.browser import open_browser
from tests.conftest import Server
from web import graphiql

SCREENSHOTS = ROOT / "var" / "screenshots"
TITLE = "FastAPI 책 출간 행사"


class Explorer:
    """The page, and what somebody does with it. `outside` and `complaints` are to stay empty."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.outside: list[str] = []
        self.complaints: list[str] = []
        page.on("console", self._hears)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("websocket", self._sees_socket)

    async def opens(self) -> None:
        await self.page.context.route("**/*", self._lets_through)
        self.page.context.on("request", self._sees)
        answer = await self.page.goto(f"{self.url}/graphql")
        assert answer
        assert answer.status == 200, await answer.text()
        await self.is_ready()

    async def is_ready(self) -> None:
        await self.page.get_by_role("button", name="Headers").wait_for()
        await self.page.locator(".graphiql-query-editor .view-line [class*=mtk]:not(.mtk1)").first.wait_for()

    async def runs(self, operation: str) -> Any:
        """What the response pane shows of it, as JSON."""
        await self._empties("response.json")
        await self.page.get_by_role("button", name="Execute query").click()
        await self.page.get_by_role("menuitem", name=operation, exact=True).click()
        shown = await self.page.wait_for_function(
            f"() => {{ try {{ return JSON.parse({_model('response.json')}.getValue()) }} catch {{ return null }} }}"
        )
        return await shown.json_value()

    async def pastes_a_query(self, query: str) -> None:
        await self.page.locator(".graphiql-query-editor .monaco-editor").click()
        await self._pastes(query)

    async def pastes_headers(self, headers: str) -> None:
        await self.page.get_by_role("button", name="Headers").click()
        await self.page.locator(".graphiql-editor-tool .monaco-editor:visible").click()
        await self._pastes(headers)

    async def uses_the_token(self) -> None:
        await self.page.get_by_role("button", name="Use this token in this tab").click()

    async def holds(self, pane: str) -> str:
        return str(await self.page.evaluate(f"{_model(pane)}.getValue()"))

    async def keeps(self, running: str) -> str:
        """All that outlives the page, both storages and the address, once the tab's last run is among it."""
        # GraphiQL writes its tabs half a second late.
        await self.page.wait_for_function(
            "(name) => JSON.parse(sessionStorage['graphiql:tabState'] ?? '{}').tabs?.[0].title === name", arg=running
        )
        return str(await self.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])"))

    async def sends(self) -> str:
        """The token in the headers pane."""
        headers = json.loads(await self.holds("request-headers.json"))
        return str(headers["Authorization"]).removeprefix("Bearer ")

    async def shoots(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    async def _pastes(self, text: str) -> None:
        """In place of what is there. Typed, the editor would add brackets of its own."""
        await self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await self.page.evaluate("(text) => navigator.clipboard.writeText(text)", text)
        await self.page.keyboard.press("ControlOrMeta+a")
        await self.page.keyboard.press("ControlOrMeta+v")

    async def _empties(self, pane: str) -> None:
        await self.page.evaluate(f"{_model(pane)}.setValue('')")

    async def _lets_through(self, route: Route) -> None:
        await (route.continue_() if self._is_here(route.request.url) else route.abort())

    def _sees(self, request: Request) -> None:
        if not self._is_here(request.url):
            self.outside.append(request.url)

    def _sees_socket(self, socket: WebSocket) -> None:
        if not self._is_here(socket.url.replace("ws", "http", 1)):
            self.outside.append(socket.url)

    def _hears(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _is_here(self, address: str) -> bool:
        return address.startswith((f"{self.url}/", "data:", "blob:"))


def _model(pane: str) -> str:
    return f"monaco.editor.getModels().find((model) => model.uri.path.endsWith('{pane}'))"


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

    await explorer.page.get_by_role("button", name="Show Documentation Explorer").click()
    await explorer.page.locator(".graphiql-plugin").get_by_text("CreateEventInput").wait_for()
    await explorer.shoots("6-docs")
    await explorer.page.get_by_role("button", name="Show History").click()
    await explorer.page.locator(".graphiql-plugin").get_by_text("WhoAmI").wait_for()
    await explorer.shoots("7-history")

    expired = await live_server.expired_token("ana@test.com")
    await explorer.pastes_headers(json.dumps({"Authorization": f"Bearer {expired}", "X-Mine": "stays"}))
    assert code_of(await explorer.runs("CreateEvent")) == "TOKEN_EXPIRED"
    await explorer.page.locator(".graphiql-response", has_text="TOKEN_EXPIRED").wait_for()
    await explorer.shoots("8-expired")
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
    await explorer.shoots("9-dark")

    assert await explorer.holds("operation.graphql") == "query Mine { tags { tag } }"
    assert TITLE in await explorer.holds("variables.json")
    assert "The token goes here" in await explorer.holds("request-headers.json")
    assert "my.own.token" not in kept + await explorer.keeps("Mine")
    assert await explorer.page.locator("[role=tab]").count() == 1
    assert explorer.outside == []
    assert explorer.complaints == []


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
