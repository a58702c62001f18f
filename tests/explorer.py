"""The explorer in a browser, and what somebody does there, for tests that read as use."""

import json
from typing import Any

from playwright.async_api import ConsoleMessage, Page, Request, Route, WebSocket

from settings import ROOT

SCREENSHOTS = ROOT / "var" / "screenshots"


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
        await self.starts(operation)
        return await self.is_shown()

    async def starts(self, operation: str) -> None:
        await self.clears()
        await self.page.get_by_role("button", name="Execute query").click()
        await self.page.get_by_role("menuitem", name=operation, exact=True).click()

    async def stops(self) -> None:
        await self.page.get_by_role("button", name="Stop query").click()
        await self.page.get_by_role("button", name="Execute query").wait_for()

    async def clears(self) -> None:
        """So that what is shown next is new."""
        await self.page.evaluate(f"{_model('response.json')}.setValue('')")

    async def is_shown(self) -> Any:
        """The next JSON in the response pane."""
        shown = await self.page.wait_for_function(
            f"() => {{ try {{ return JSON.parse({_model('response.json')}.getValue()) }} catch {{ return null }} }}"
        )
        return await shown.json_value()

    async def pastes_a_query(self, query: str) -> None:
        await self.page.locator(".graphiql-query-editor .monaco-editor").click()
        await self._pastes(query)

    async def pastes_variables(self, variables: str) -> None:
        await self.page.get_by_role("button", name="Variables").click()
        await self.page.locator(".graphiql-editor-tool .monaco-editor:visible").click()
        await self._pastes(variables)

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
