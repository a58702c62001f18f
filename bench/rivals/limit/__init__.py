"""The least that a Python server can do for the answer: reads the request, asks the best statement, writes JSON.

It knows no GraphQL: the address says which work is meant, the body's variables what of. It verifies tokens, and nothing
else: inputs are taken as they are, nobody is told of a change. Nothing that does the same with a framework can be
quicker, so the others are told as a share of it.
"""

import base64
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import orjson
from starlette.types import Receive, Scope, Send

from bench.rivals import SECRET
from bench.rivals.limit.answers import Answers, Asked
from bench.rivals.limit.postgresql import PostgreSQL
from bench.rivals.limit.sqlite import SQLite


class Limit:
    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._routes: dict[str, Callable[[Asked], Awaitable[Any]]] = {
            "/typename": answers.typename,
            "/one-event": answers.one_event,
            "/list-of-20": answers.events,
            "/list-of-100": answers.events,
            "/viewer-fields": answers.viewers_events,
            "/first-page": answers.page,
            "/deep-page": answers.page,
            "/search": answers.search,
            "/totalCount": answers.count,
            "/createEvent": answers.create_event,
            "/rsvp": answers.rsvp,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        variables = orjson.loads(body).get("variables")
        data = await self._routes[scope["path"]](Asked(variables, _user_and_session(scope)))
        answer = orjson.dumps({"data": data}, option=orjson.OPT_UTC_Z)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._answers.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._answers.close()
        await send({"type": "lifespan.shutdown.complete"})


def _user_and_session(scope: Scope) -> tuple[UUID, UUID] | None:
    """Of a good token of a request that has one. Raises ValueError."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            signed, _, signature = value.removeprefix(b"Bearer ").rpartition(b".")
            right = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).rstrip(b"=")
            payload = signed.partition(b".")[2]
            claims = orjson.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
            if not hmac.compare_digest(signature, right) or claims["exp"] < time.time():
                raise ValueError("The token is not good.")
            return UUID(claims["sub"]), UUID(claims["sid"])
    return None


def create_app(database_url: str) -> Limit:
    return Limit(SQLite(database_url) if database_url.startswith("sqlite") else PostgreSQL(database_url))
