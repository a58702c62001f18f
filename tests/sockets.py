"""People who listen, for tests that read as use: a server in this process, and clients on real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any, Self

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from auth import Accounts, Proxies
from calendars.links import Links
from models.changes import Change, listen
from replicas.memory import Memory
from schema import build_executor
from schema.live import Live
from settings import Settings
from tests.people import Person
from web.graphql import GraphQLEndpoint
from web.operations import Operations
from web.websocket import PROTOCOL, WebSocketEndpoint

PATIENCE = 15  # seconds, for what comes at once unless the code is broken


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for does not know of tests
            await asyncio.sleep(0.005)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are pytest's


@asynccontextmanager
async def served(app: ASGIApp, **options: Any) -> AsyncIterator[tuple[str, int]]:
    """At which address."""
    server = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", **options))
    running = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield host, port
    finally:
        server.should_exit = True
        await running


class Airing:
    """The subscriptions' side of the application, served, with what a test wants other than it is."""

    def __init__(self, settings: Settings, *, session_check_seconds: float = 30, **changes: Any) -> None:
        self.replicas = Memory[Change]()
        self.live = Live(self.replicas)
        self.accounts = Accounts(settings)
        self.operations = Operations(
            build_executor(),
            self.accounts,
            self.live,
            Links(settings),
            proxies=Proxies(),
            session_check_seconds=session_check_seconds,
        )
        endpoint = GraphQLEndpoint(self.operations, max_body_bytes=100_000, page=lambda: Response())
        sockets = WebSocketEndpoint(self.operations, **{"allowed_origins": (), "max_message_bytes": 100_000, **changes})
        self._app = Starlette(routes=[Route("/graphql", endpoint), WebSocketRoute("/graphql", sockets)])
        self.address = ""
        self._ids = count()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Self]:
        stop_listening = listen(self.live.tell)
        try:
            async with served(self._app, ws_ping_interval=None) as (host, port):
                self.address = f"{host}:{port}"
                try:
                    yield self
                finally:
                    self.operations.stop()
        finally:
            stop_listening()
            self.accounts.passwords.close()

    @asynccontextmanager
    async def socket(
        self, who: Person | None = None, *, init: bool = True, protocol: str = PROTOCOL, **options: Any
    ) -> AsyncIterator["Socket"]:
        protocols = [Subprotocol(protocol)]
        async with connect(f"ws://{self.address}/graphql", subprotocols=protocols, **options) as connection:
            socket = Socket(connection)
            if init:
                token = who.token if who else None
                await socket.initialises({"authorization": f"Bearer {token}"} if token else None)
            yield socket

    async def is_heard_by(self, number: int, topic: str = "events") -> None:
        """Returns once as many subscribers hear the topic."""
        await until(lambda: self.replicas.subscribers(topic) == number)

    def http(self, who: Person | None = None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {who.token}"} if who else {}
        return httpx.AsyncClient(base_url=f"http://{self.address}", headers=headers, timeout=PATIENCE)


class Socket:
    """A client that speaks graphql-transport-ws."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = count()

    async def initialises(self, payload: dict[str, Any] | None = None) -> None:
        await self.says({"type": "connection_init", **({"payload": payload} if payload else {})})
        assert await self.hears() == {"type": "connection_ack"}

    async def says(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, bytes) else orjson.dumps(message).decode())

    async def hears(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return orjson.loads(await self.connection.recv())

    async def asks(self, query: str, **variables: Any) -> str:
        """The operation's id."""
        id = f"op {next(self._ids)}"
        await self.says({"type": "subscribe", "id": id, "payload": {"query": query, "variables": variables}})
        return id

    async def data(self) -> Any:
        """What the next answer holds."""
        message = await self.hears()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    async def change(self) -> Any:
        return (await self.data())["eventChanged"]

    async def code(self) -> str:
        """The code of the error by which the operation ends."""
        message = await self.hears()
        assert message["type"] == "error", message
        (error,) = message["payload"]
        return str(error["extensions"]["code"])

    async def is_closed(self) -> tuple[int | None, str | None]:
        """By which code and reason, whatever is said before."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code, self.connection.close_reason


def origin(address: str) -> dict[str, Any]:
    return {"origin": Origin(address)}
