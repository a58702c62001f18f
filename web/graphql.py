"""GraphQL over HTTP (the GraphQL Foundation's specification of that name), as a thin ASGI application.

It is not Strawberry's router: that one answers non-object bodies, bad UTF-8 and deep nesting with 500, and costs more
than executing the query does. See docs/decisions/0004-http-front.md.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import orjson
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from auth import Accounts
from errors import BadRequest
from schema import Schema
from schema.context import Context
from web.graphql_errors import shape

LONGEST_HEADER = 2_048  # characters; browsers send some 150, and a megabyte of commas takes a second to read
MOST_PARAMETERS = 100  # in an address; GraphQL over HTTP has four
BODY_SECONDS = 30  # a body of the usual largest size arrives in them over 300 kbit/s
JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
QUERIES = frozenset({OperationType.QUERY})
QUERIES_AND_MUTATIONS = frozenset({OperationType.QUERY, OperationType.MUTATION})


class RefusedRequest(Exception):
    """The HTTP request is not a GraphQL request: answered with this status and a GraphQL error body."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


@dataclass(frozen=True)
class Asked:
    """The parameters of a request: GraphQL over HTTP §5.1."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None

    @classmethod
    def of(cls, parameters: object) -> "Asked":
        """Raises RefusedRequest where a parameter is missing or of another kind."""
        if not isinstance(parameters, dict):
            raise RefusedRequest(400, "The body must be a JSON object with a query.")
        query = parameters.get("query")
        if not isinstance(query, str) or not query.strip():
            raise RefusedRequest(400, "query must be a string that holds a GraphQL document.")
        for name, kind, said in (("variables", dict, "an object"), ("extensions", dict, "an object")):
            if not isinstance(parameters.get(name), kind | None):
                raise RefusedRequest(400, f"{name} must be {said}.")
        if not isinstance(parameters.get("operationName"), str | None):
            raise RefusedRequest(400, "operationName must be a string.")
        return cls(query, parameters.get("variables"), parameters.get("operationName") or None)


class GraphQLEndpoint:
    """`page` answers a browser that opens the address; `clock` says what time it is, aware and in UTC."""

    def __init__(
        self,
        schema: Schema,
        accounts: Accounts,
        *,
        max_body_bytes: int,
        page: Callable[[], Response],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._schema, self._accounts, self._page, self._clock = schema, accounts, page, clock
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        accept = ",".join(headers.getlist("accept"))[:LONGEST_HEADER]
        if scope["method"] in {"GET", "HEAD"} and "text/html" in accept and b"query=" not in scope["query_string"]:
            await self._page()(scope, receive, send)
            return
        request_id = uuid4().hex
        media_type = _media_type(accept)
        extra: dict[str, str] = {}
        try:
            if media_type is None:
                raise RefusedRequest(406, f"Accept {JSON} or {RESPONSE_JSON}: there is no other kind of answer.")
            asked, allowed = await self._read(scope, headers, receive)
            status, answer = await self._execute(asked, allowed, headers, request_id, media_type)
        except RefusedRequest as refused:
            error = GraphQLError(str(refused), original_error=BadRequest(str(refused)))
            status, answer, extra = refused.status, {"errors": [shape(error, request_id)]}, refused.headers
        except ClientGone:
            return
        except Exception as fault:  # in this file, then: what resolvers raise comes back in the result
            error = GraphQLError(str(fault), original_error=fault)
            status, answer = 500, {"errors": [shape(error, request_id)]}
        await _send(send, status, answer, media_type or JSON, {"x-request-id": request_id, **extra})

    async def _read(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[Asked, frozenset[OperationType]]:
        if scope["method"] == "GET":
            return Asked.of(_query_parameters(scope["query_string"])), QUERIES
        if scope["method"] != "POST":
            raise RefusedRequest(405, "Use POST, or GET for a query.", {"allow": "GET, POST"})
        # Only JSON: a form or plain text can be sent from any web page without the browser asking (CSRF).
        kind, _, parameter = headers.get("content-type", "")[:LONGEST_HEADER].partition(";")
        if kind.strip().lower() != JSON:
            raise RefusedRequest(415, f"Send the body as Content-Type: {JSON}.")
        if _charset(parameter) not in {"utf-8", "utf8"}:
            raise RefusedRequest(415, "Send the body in UTF-8.")
        body = await _read_body(headers, receive, self._max_body_bytes)
        return Asked.of(_loads(body, "The body")), QUERIES_AND_MUTATIONS

    async def _execute(
        self, asked: Asked, allowed: frozenset[OperationType], headers: Headers, request_id: str, media_type: str
    ) -> tuple[int, dict[str, Any]]:
        context = Context(
            accounts=self._accounts,
            authorization=headers.get("authorization"),
            now=self._clock(),
            request_id=request_id,
        )
        try:
            result = await self._schema.execute(
                asked.query,
                variable_values=asked.variables,
                operation_name=asked.operation_name,
                context_value=context,
                allowed_operation_types=allowed,
            )
        except CannotGetOperationTypeError:
            raise RefusedRequest(400, "operationName must name one of the document's operations.") from None
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                raise RefusedRequest(400, "A subscription needs a WebSocket.") from None
            raise RefusedRequest(405, "GET runs queries only. Use POST.", {"allow": "POST"}) from None
        errors = [shape(error, request_id) for error in result.errors or ()]
        if errors and not _was_executed(result.errors or []) and result.data is None:
            # Nothing was executed: no data entry, and an honest status for clients that know the newer media type.
            return 400 if media_type == RESPONSE_JSON else 200, {"errors": errors}
        return 200, {"data": result.data, **({"errors": errors} if errors else {})}


class ClientGone(Exception):
    """The client closed the connection before it had sent its request."""


def _was_executed(errors: list[GraphQLError]) -> bool:
    return any(error.path for error in errors)


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


async def _read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    declared = headers.get("content-length", "").lstrip("0")
    # Python reads no more than 4,300 digits.
    if declared.isascii() and declared.isdigit() and (len(declared) > 19 or int(declared) > limit):
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _receive_all(receive, limit)
    except (TimeoutError, asyncio.CancelledError):
        # Cancelled: the server is stopping, and has waited as long as it does. To say so beats a trace in the log.
        raise RefusedRequest(408, "The body did not arrive in time.", {"connection": "close"}) from None


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


def _media_type(accept: str) -> str | None:
    """The kind of answer the client likes best of the two there are; None where it takes neither (RFC 9110 §12.5.1)."""
    if not accept:
        return JSON
    liked: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        try:
            liked[kind] = float(quality)
        except ValueError:
            liked[kind] = 0.0
    anything = liked.get("application/*", liked.get("*/*", 0.0))
    as_json, as_response = liked.get(JSON, anything), liked.get(RESPONSE_JSON, anything)
    if not as_json and not as_response:
        return None
    # Where both will do, who names the newer kind knows it, and others do better with the older one.
    knows_it = RESPONSE_JSON in liked
    return RESPONSE_JSON if as_response > as_json or (knows_it and as_response == as_json) else JSON


async def _send(send: Send, status: int, answer: dict[str, Any], media_type: str, extra: dict[str, str]) -> None:
    body = orjson.dumps(answer)
    headers = {
        "content-type": f"{media_type}; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "vary": "accept",
        "x-content-type-options": "nosniff",
        **extra,
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
