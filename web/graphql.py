"""GraphQL over HTTP (the GraphQL Foundation's specification of that name), as a thin ASGI application.

It is not Strawberry's router: that one answers non-object bodies, bad UTF-8 and deep nesting with 500, and costs more
than executing the query does. See docs/decisions/0004-http-front.md.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

import orjson
from graphql import GraphQLError, OperationType
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from errors import ErrorCode
from web import sse
from web.caller import Caller
from web.graphql_errors import shape
from web.operations import (
    JSON_OPTIONS,
    QUERIES,
    QUERIES_AND_MUTATIONS,
    Asked,
    IsSubscription,
    Operations,
    RefusedRequest,
    new_request_id,
)

LONGEST_HEADER = 2_048  # characters; browsers send some 150, and a megabyte of commas takes a second to read
MOST_PARAMETERS = 100  # in an address; GraphQL over HTTP has four
BODY_SECONDS = 30  # a body of the usual largest size arrives in them over 300 kbit/s
JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"


class GraphQLEndpoint:
    """`page` answers a browser that opens the address."""

    def __init__(self, operations: Operations, *, max_body_bytes: int, page: Callable[[], Response]) -> None:
        self._operations, self._page = operations, page
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _Headers.of(scope)
        accept = headers.accept
        if scope["method"] in {"GET", "HEAD"} and "text/html" in accept and b"query=" not in scope["query_string"]:
            await self._page()(scope, receive, send)
            return
        request_id = new_request_id()
        media_type = _media_type(accept)
        try:
            if media_type is None:
                raise RefusedRequest(406, f"Accept {JSON}, {RESPONSE_JSON} or {sse.EVENT_STREAM}: there is no other.")
            asked, allowed = await self._read(scope, headers, receive)
            caller = Caller(scope, self._operations.proxies)
            context = self._operations.context(caller, request_id)
            stream = sse.Stream(self._operations, receive, send)
            try:
                answer = await self._operations.execute(asked, context, allowed)
            except IsSubscription:
                if not _takes_streams(accept):
                    raise
                answers = self._operations.subscribe(asked, context)
                with self._operations.metrics.streams.track_inprogress():
                    await stream.answer(answers, caller, request_id)
                return
            if media_type == sse.EVENT_STREAM:
                await stream.answer_once(answer, request_id)
                return
            # Nothing was executed: an honest status for clients that know the newer media type.
            status = 400 if not answer.was_executed and media_type == RESPONSE_JSON else 200
            body, extra = answer.body, _retry_after(answer.body) if "errors" in answer.body else {}
        except RefusedRequest as refused:
            status, body, extra = refused.status, {"errors": [refused.shape(request_id)]}, refused.headers
            self._operations.requests.refused(request_id, status)
        except ClientGone:
            return
        except Exception as fault:  # in this file, then: what resolvers raise comes back in the result
            error = GraphQLError(str(fault), original_error=fault)
            status, body, extra = 500, {"errors": [shape(error, request_id)]}, {}
        kind = media_type if media_type == RESPONSE_JSON else JSON
        await _send(send, status, body, kind, request_id, extra)

    async def _read(
        self, scope: Scope, headers: "_Headers", receive: Receive
    ) -> tuple[Asked, frozenset[OperationType]]:
        if scope["method"] == "GET":
            return Asked.of(_query_parameters(scope["query_string"])), QUERIES
        if scope["method"] != "POST":
            raise RefusedRequest(405, "Use POST, or GET for a query.", {"allow": "GET, POST"})
        # Only JSON: a form or plain text can be sent from any web page without the browser asking (CSRF).
        if headers.content_type != JSON:
            kind, _, parameter = headers.content_type.partition(";")
            if kind.strip().lower() != JSON:
                raise RefusedRequest(415, f"Send the body as Content-Type: {JSON}.")
            if _charset(parameter) not in {"utf-8", "utf8"}:
                raise RefusedRequest(415, "Send the body in UTF-8.")
        body = await _read_body(headers, receive, self._max_body_bytes)
        return Asked.of(_loads(body, "The body")), QUERIES_AND_MUTATIONS


class _Headers(NamedTuple):
    """Those that every request is read by. Starlette's Headers are made for many more."""

    accept: str
    content_type: str
    content_length: str

    @classmethod
    def of(cls, scope: Scope) -> Self:
        accept, content_type, content_length = [], "", ""
        for name, value in scope["headers"]:
            if name == b"accept":
                accept.append(value.decode("latin-1"))
            elif name == b"content-type":
                content_type = content_type or value.decode("latin-1")[:LONGEST_HEADER]
            elif name == b"content-length":
                content_length = value.decode("latin-1")
        return cls(",".join(accept)[:LONGEST_HEADER], content_type, content_length)


class ClientGone(Exception):
    """The client closed the connection before it had sent its request."""


def _retry_after(answer: dict[str, Any]) -> dict[str, str]:
    """The header for those who read no body, where all that was asked was refused for now (RFC 9110 §10.2.3)."""
    told = [error["extensions"] for error in answer.get("errors", ())]
    if not told or any(value is not None for value in (answer.get("data") or {}).values()):
        return {}
    if any(one["code"] not in {ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE} for one in told):
        return {}
    return {"retry-after": str(max(one["retryAfter"] for one in told))}


def _query_parameters(query_string: bytes) -> dict[str, Any]:
    try:
        read = parse_qs(query_string.decode(), errors="strict", max_num_fields=MOST_PARAMETERS)
    except (UnicodeDecodeError, ValueError):
        said = f"The address must be UTF-8, percent-encoded, and have {MOST_PARAMETERS} parameters at most."
        raise RefusedRequest(400, said) from None
    given = {key: values[-1] for key, values in read.items()}
    return {
        name: _loads(value.encode(), name) if name in {"variables", "extensions"} else value
        for name, value in given.items()
    }


def _loads(raw: bytes, what: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RefusedRequest(400, f"{what} is not JSON in UTF-8: {error}.") from None


def _charset(parameters: str) -> str:
    given = (one.strip().lower().partition("=") for one in parameters.split(";"))
    return next((value.strip('"') for name, _, value in given if name == "charset"), "utf-8")


async def _read_body(headers: _Headers, receive: Receive, limit: int) -> bytes:
    declared = headers.content_length.lstrip("0")
    # Python reads no more than 4,300 digits.
    if declared.isascii() and declared.isdigit() and (len(declared) > 19 or int(declared) > limit):
        raise _too_large(limit)
    loop = asyncio.get_running_loop()
    task = asyncio.current_task(loop)
    assert task is not None  # noqa: S101 - a server runs each request in one
    # asyncio.timeout() does the same, and a bit more, in twice the time: a tenth of a short answer.
    timer = loop.call_later(BODY_SECONDS, task.cancel)
    try:
        return await _receive_all(receive, limit)
    except asyncio.CancelledError:
        # Also where the server is stopping, and has waited as long as it does. To say so beats a trace in the log.
        task.uncancel()
        raise RefusedRequest(408, "The body did not arrive in time.", {"connection": "close"}) from None
    finally:
        timer.cancel()


async def _receive_all(receive: Receive, limit: int) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(chunks)


def _too_large(limit: int) -> RefusedRequest:
    return RefusedRequest(413, f"The body may have {limit} bytes at most.", {"connection": "close"})


@lru_cache(maxsize=128)
def _media_type(accept: str) -> str | None:
    """The kind of answer that the client likes best; None where it takes none of those there are (RFC 9110 §12.5.1).
    Streams are for subscriptions: one that takes JSON as gladly gets JSON."""
    if not accept:
        return JSON
    liked = _liked(accept)
    anything = liked.get("application/*", liked.get("*/*", 0.0))
    as_json, as_response = liked.get(JSON, anything), liked.get(RESPONSE_JSON, anything)
    if liked.get(sse.EVENT_STREAM, 0.0) > max(as_json, as_response):
        return sse.EVENT_STREAM
    if not as_json and not as_response:
        return None
    # Where both will do, who names the newer kind knows it, and others do better with the older one.
    knows_it = RESPONSE_JSON in liked
    return RESPONSE_JSON if as_response > as_json or (knows_it and as_response == as_json) else JSON


def _takes_streams(accept: str) -> bool:
    return _liked(accept).get(sse.EVENT_STREAM, 0.0) > 0


def _liked(accept: str) -> dict[str, float]:
    """How much, from 0 to 1, by the kind."""
    liked: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        try:
            liked[kind] = float(quality)
        except ValueError:
            liked[kind] = 0.0
    return liked


_ALWAYS_SENT = [(b"cache-control", b"no-store"), (b"vary", b"accept"), (b"x-content-type-options", b"nosniff")]


async def _send(
    send: Send, status: int, answer: dict[str, Any], media_type: str, request_id: str, extra: dict[str, str]
) -> None:
    body = orjson.dumps(answer, option=JSON_OPTIONS)
    headers = [
        (b"content-type", b"%s; charset=utf-8" % media_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        *_ALWAYS_SENT,
        *((name.encode(), value.encode()) for name, value in extra.items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
