"""GraphQL over a WebSocket: the protocol graphql-transport-ws
(https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md). Queries and mutations run here too.

Why it is not Strawberry's, and what each code of closing means: docs/decisions/0013-live.md.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from strawberry.http.websocket_origin import is_same_origin

from errors import Unavailable
from replicas import FellBehind
from schema.context import Context
from web.caller import Caller
from web.graphql_errors import shape
from web.operations import (
    JSON_OPTIONS,
    Answer,
    Asked,
    IsSubscription,
    Operations,
    RefusedRequest,
    alone,
    new_request_id,
    stops,
)

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10
SEND_SECONDS = 10  # for a client that does not read
MOST_OPERATIONS = 50  # at once, in one connection

GOING_AWAY = 1001
TOO_BIG = 1009
FAULT = 1011
TRY_AGAIN_LATER = 1013
BAD_MESSAGE = 4400
NOT_INITIALISED = 4401
FORBIDDEN = 4403
WRONG_PROTOCOL = 4406
INIT_TIMEOUT = 4408
TAKEN_ID = 4409
INITIALISED_ALREADY = 4429

log = logging.getLogger("planner.graphql")


class _Closing(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class _Gone(Exception):
    """The client closed the connection, or no longer reads what it is sent."""


class WebSocketEndpoint:
    def __init__(
        self,
        operations: Operations,
        *,
        allowed_origins: tuple[str, ...],
        max_message_bytes: int,
        init_seconds: float = INIT_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self.operations = operations
        self.max_message_bytes = max_message_bytes
        self.init_seconds, self.send_seconds = init_seconds, send_seconds
        self._allowed_origins = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        await receive()  # websocket.connect
        if not self._may_come_from(headers.get("origin"), headers.get("host")):
            await send({"type": "websocket.close"})  # before it is accepted: an answer of 403
            return
        spoken = PROTOCOL in scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if spoken else None})
        if spoken:
            await _Connection(self, Caller(scope, self.operations.proxies), receive, send).serve()
        else:
            await send({"type": "websocket.close", "code": WRONG_PROTOCOL, "reason": f"Speak {PROTOCOL}."})

    def _may_come_from(self, origin: str | None, host: str | None) -> bool:
        # Browsers ask nobody before they open a socket to another origin: CORS is not for these.
        return (
            origin is None  # no browser
            or "*" in self._allowed_origins
            or origin in self._allowed_origins
            or is_same_origin(origin, host)
        )


class _Connection:
    """Ends when one of its tasks raises: the others are cancelled, and the socket is closed with what was raised."""

    def __init__(self, endpoint: WebSocketEndpoint, caller: Caller, receive: Receive, send: Send) -> None:
        self._endpoint, self._operations = endpoint, endpoint.operations
        self._caller = caller
        self._receive, self._asgi_send = receive, send
        self._initialised = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._answering: set[asyncio.Task[Any]] = set()  # until they have told all, if they are no subscriptions
        self._at_work: set[asyncio.Task[Any]] = set()  # also of what the client has completed since: it runs to its end

    async def serve(self) -> None:
        closing: _Closing | None = None
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._read())
                self._tasks.create_task(self._end_without_init())
                self._tasks.create_task(self._end_with_the_server())
        except* _Gone:
            pass
        except* _Closing as raised:
            closing = next(one for one in raised.exceptions if isinstance(one, _Closing))
        except* Exception:
            log.exception("a WebSocket failed")
            closing = _Closing(FAULT, "The server failed.")
        if closing:
            with suppress(_Gone):
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    async def _read(self) -> None:
        while True:
            received = await self._receive()
            if received["type"] == "websocket.disconnect":
                raise _Gone
            await self._take(self._message(received.get("text")))

    def _message(self, text: str | None) -> dict[str, Any]:
        if text is None:
            raise _Closing(BAD_MESSAGE, "Send text.")
        if len(text) > self._endpoint.max_message_bytes:
            raise _Closing(TOO_BIG, "The message is too big.")
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _Closing(BAD_MESSAGE, "The message is not JSON.") from None
        if not isinstance(message, dict):
            raise _Closing(BAD_MESSAGE, "The message must be a JSON object.")
        return message

    async def _take(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "connection_init":
                await self._initialise(message.get("payload"))
            case "ping":
                await self._say({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                await self._start(message)
            case "complete":
                if task := self._running.pop(_id(message), None):
                    task.cancel()
            case _:
                raise _Closing(BAD_MESSAGE, "The message's type is unknown.")

    async def _initialise(self, payload: object) -> None:
        if self._initialised.is_set():
            raise _Closing(INITIALISED_ALREADY, "Initialise once.")
        if not isinstance(payload, dict | None):
            raise _Closing(BAD_MESSAGE, "The payload must be an object.")
        for name, value in (payload or {}).items():
            if name.lower() == "authorization" and isinstance(value, str):
                self._caller = self._caller.with_authorization(value)
        self._initialised.set()
        self._tasks.create_task(self._end_with_the_session())
        await self._say({"type": "connection_ack"})

    async def _start(self, message: dict[str, Any]) -> None:
        if not self._initialised.is_set():
            raise _Closing(NOT_INITIALISED, "Initialise first.")
        id = _id(message)
        if id in self._running:
            raise _Closing(TAKEN_ID, "An operation with this id is running.")
        try:
            asked = Asked.of(message.get("payload"))
        except RefusedRequest as refused:
            raise _Closing(BAD_MESSAGE, str(refused)) from None
        refusal: Unavailable | None = None
        if self._operations.stopping.is_set():
            refusal = stops()
        elif max(len(self._running), len(self._at_work)) >= MOST_OPERATIONS:
            refusal = Unavailable(f"{MOST_OPERATIONS} operations run in this connection.", 1)
        if refusal:
            error = shape(GraphQLError(str(refusal), original_error=refusal), new_request_id())
            await self._say({"type": "error", "id": id, "payload": [error]})
            return
        self._running[id] = task = self._tasks.create_task(self._answer(id, asked))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, id: str, asked: Asked) -> None:
        last: dict[str, Any] = {"type": "complete", "id": id}
        request_id = new_request_id()
        try:
            context = self._operations.context(self._caller, request_id)
            async with aclosing(await self._answers(asked, context)) as answers:
                async for answer in answers:
                    if not answer.was_executed:
                        last = {"type": "error", "id": id, "payload": answer.body["errors"]}
                        break
                    await self._say({"type": "next", "id": id, "payload": answer.body})
        except RefusedRequest as refused:
            last = {"type": "error", "id": id, "payload": [refused.shape(request_id)]}
        except FellBehind:
            raise _Closing(TRY_AGAIN_LATER, "More changed than was read in time.") from None
        del self._running[id]  # first: from its last message on, the client may use the id anew
        await self._say(last)

    async def _answers(self, asked: Asked, context: Context) -> AsyncGenerator[Answer, None]:
        try:
            return alone(await self._operations.execute_to_its_end(asked, context, self._at_work))
        except IsSubscription:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - `_start` made it
            self._answering.discard(task)
            return self._operations.subscribe(asked, context)

    async def _end_without_init(self) -> None:
        try:
            async with asyncio.timeout(self._endpoint.init_seconds):
                await self._initialised.wait()
        except TimeoutError:
            raise _Closing(INIT_TIMEOUT, "Nothing initialised the connection.") from None

    async def _end_with_the_server(self) -> None:
        await self._operations.stopping.wait()
        if self._answering:
            await asyncio.wait(self._answering)
        raise _Closing(GOING_AWAY, "The server stops.")

    async def _end_with_the_session(self) -> None:
        if refusal := await self._operations.until_signed_out(self._caller, also_before=True):
            raise _Closing(FORBIDDEN, refusal.code.value)

    async def _say(self, message: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": orjson.dumps(message, option=JSON_OPTIONS).decode()})

    async def _send(self, event: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._endpoint.send_seconds):
                await self._asgi_send(event)
        except (OSError, RuntimeError):
            # TimeoutError is an OSError. A RuntimeError is uvicorn's word for a socket that it has closed by itself,
            # for what the client sent or did not send.
            raise _Gone from None


def _id(message: dict[str, Any]) -> str:
    id = message.get("id")
    if not isinstance(id, str) or not id:
        raise _Closing(BAD_MESSAGE, "The message needs an id.")
    return id
