"""Answers as server-sent events: the protocol of graphql-sse in its mode of distinct connections, one stream for each
operation (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md).

`complete` says that no more will come. A stream that ends without it was cut: by a server that stops, or because more
changed than was read in time. The client then asks anew, and catches up.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.types import Receive, Send

from replicas import FellBehind
from web.caller import Caller
from web.graphql_errors import shape
from web.operations import JSON_OPTIONS, Answer, Operations

EVENT_STREAM = "text/event-stream"
KEEP_ALIVE_SECONDS = 12  # proxies cut what is silent for longer, some after 15 s
SEND_SECONDS = 10  # for a client that does not read

log = logging.getLogger("planner.graphql")


class _Over(Exception):
    """The stream ends here."""


class Stream:
    def __init__(
        self,
        operations: Operations,
        receive: Receive,
        send: Send,
        *,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._operations, self._receive, self._send = operations, receive, send
        self._keep_alive_seconds, self._send_seconds = keep_alive_seconds, send_seconds

    async def answer(self, answers: AsyncGenerator[Answer, None], caller: Caller, request_id: str) -> None:
        """As long as there are more."""
        await self._open(request_id)
        is_read = True
        async with aclosing(answers):
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._keep_alive())
                    tasks.create_task(self._end_with_the_client())
                    tasks.create_task(self._end_with_the_server())
                    tasks.create_task(self._end_with_the_session(caller, request_id))
                    tasks.create_task(self._tell(answers))
            except* (_Over, FellBehind):
                pass
            except* TimeoutError:
                is_read = False
            except* Exception:
                log.exception("request %s: its stream failed", request_id)
        if is_read:
            with suppress(TimeoutError):
                await self._write(b"", more=False)

    async def answer_once(self, answer: Answer, request_id: str) -> None:
        """Of a query or a mutation: it is told also by a server that stops."""
        await self._open(request_id)
        with suppress(TimeoutError):
            await self._event("next", answer.body)
            await self._event("complete")
            await self._write(b"", more=False)

    async def _open(self, request_id: str) -> None:
        headers = {
            "content-type": f"{EVENT_STREAM}; charset=utf-8",
            "cache-control": "no-store",
            "vary": "accept",
            "x-accel-buffering": "no",  # nginx would hold events back
            "x-content-type-options": "nosniff",
            "x-request-id": request_id,
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _tell(self, answers: AsyncGenerator[Answer, None]) -> None:
        async for answer in answers:
            await self._event("next", answer.body)
        await self._event("complete")
        raise _Over

    async def _keep_alive(self) -> None:
        while True:
            await self._write(b":\n\n")  # the first at once: proxies pass the headers on with it
            await asyncio.sleep(self._keep_alive_seconds)

    async def _end_with_the_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise _Over

    async def _end_with_the_server(self) -> None:
        await self._operations.stopping.wait()
        raise _Over

    async def _end_with_the_session(self, caller: Caller, request_id: str) -> None:
        if refusal := await self._operations.until_signed_out(caller):
            error = GraphQLError(str(refusal), original_error=refusal)
            await self._event("next", {"errors": [shape(error, request_id)]})
            await self._event("complete")
            raise _Over

    async def _event(self, name: str, body: dict[str, Any] | None = None) -> None:
        data = orjson.dumps(body, option=JSON_OPTIONS) if body is not None else b""
        await self._write(b"event: %s\ndata: %s\n\n" % (name.encode(), data))

    async def _write(self, chunk: bytes, *, more: bool = True) -> None:
        """Raises TimeoutError where the client does not read."""
        async with asyncio.timeout(self._send_seconds):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})
