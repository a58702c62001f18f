"""Calendar feeds (RFC 5545 over HTTP): of one event, of a list, of an account. See docs/decisions/0012-calendars.md.

Whether an address never existed, was altered, or its account has a new key: the answer is the same 404.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import models
from calendars import ical
from calendars.links import ROOT, VERSION, Links
from errors import NotFound, Unavailable
from models import EventList, Rows
from models.event import as_key
from models.filters import EventFilter, Mine
from models.reads import Condition
from schema.freshness import Freshness
from web.caller import is_to_be_fresh

MEDIA_TYPE = "text/calendar"
FRESH_SECONDS = 300
VARY = {"vary": "Accept-Encoding"}  # GZipMiddleware writes it where there is a body


@dataclass(frozen=True)
class Feed:
    """The events of one address, in lists that have none in common. `file` is what a browser saves it as."""

    lists: tuple[EventList, ...]
    name: str
    file: str
    secret: bool = False

    async def headers(self) -> dict[str, str]:
        # Weak, since the same calendar may also come compressed (RFC 9110 §8.8.1).
        state = " ".join([str(ical.EDITION), self.name, *[await one.fingerprint() for one in self.lists]])
        headers = {
            "etag": f'W/"{hashlib.sha256(state.encode()).hexdigest()[:32]}"',
            "cache-control": f"{'private' if self.secret else 'public'}, max-age={FRESH_SECONDS}",
            "x-content-type-options": "nosniff",
        }
        if self.secret:
            headers |= {"referrer-policy": "no-referrer", "x-robots-tag": "noindex"}
        return headers

    async def chunks(self) -> AsyncIterator[Rows]:
        for one in self.lists:
            async for chunk in one.stream(ical.READS):
                yield chunk


Find = Callable[..., Awaitable[Feed]]


class Calendars:
    def __init__(self, links: Links, freshness: Freshness | None = None) -> None:
        self._links, self._freshness = links, freshness

    def routes(self) -> list[Route]:
        feeds: dict[str, Find] = {
            "event/{event_id}": self._event,
            "account/{user_id}/{key}": self._account,
            f"{VERSION}/{{token}}": self._list,
            f"{VERSION}/{{user_id}}/{{token}}": self._own_list,
        }
        # 6, not the 9 of default: half the time for 2 % more.
        around = [Middleware(GZipMiddleware, compresslevel=6)]
        if self._freshness:
            around.insert(0, Middleware(_Behind, self._freshness))
        return [Route(f"{ROOT}/{path}.ics", partial(answer, find), middleware=around) for path, find in feeds.items()]

    async def _event(self, event_id: str) -> Feed:
        row = await models.Event.read(event_id, ["id", "title"])
        if row is None:
            raise NotFound("calendar")
        one = EventList(Condition("t.id = ?", (UUID(row["id"]),)))
        return Feed((one,), row["title"], "event.ics")

    async def _list(self, token: str) -> Feed:
        filter, search = self._links.read_list(token)
        return Feed((EventList.of(filter, search),), _name(filter, search), "events.ics")

    async def _own_list(self, user_id: str, token: str) -> Feed:
        _, key = await _owner(user_id)
        filter, search = self._links.read_list(token, user_id, key)
        return Feed((EventList.of(filter, search),), _name(filter, search), "my-events.ics", secret=True)

    async def _account(self, user_id: str, key: str) -> Feed:
        username, right = await _owner(user_id)
        if not (right and hmac.compare_digest(key.encode(), right.encode())):
            raise NotFound("calendar")
        return Feed(_of_account(user_id), f"Planner: {username}", "my-events.ics", secret=True)


class _Behind:
    """Has a read replica answer, where it may: from the first statement to the last, while the body is sent."""

    def __init__(self, app: ASGIApp, freshness: Freshness) -> None:
        self._app, self._freshness = app, freshness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        owner = scope["path_params"].get("user_id")
        if is_to_be_fresh(scope) or not await self._freshness.may_be_behind(owner):
            await self._app(scope, receive, send)
            return
        with self._freshness.replica.answering():
            await self._app(scope, receive, send)


async def answer(find: Find, request: Request) -> Response:
    try:
        feed = await find(**request.path_params)
        headers = await feed.headers()
    except NotFound:
        raise HTTPException(404) from None
    except Unavailable as reason:
        return PlainTextResponse(str(reason), 503, {"retry-after": str(reason.retry_after)})
    if _is_known(headers["etag"], request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers={**headers, **VARY})
    headers["content-disposition"] = f'inline; filename="{feed.file}"'
    if request.method == "HEAD":
        return StreamingResponse((), headers={**headers, **VARY}, media_type=MEDIA_TYPE)
    # Piece by piece, and a chunk of the list at a time: a large feed takes no more memory than a small one.
    body = ical.calendar(feed.name, feed.chunks())
    return StreamingResponse(body, headers=headers, media_type=MEDIA_TYPE)


def _is_known(etag: str, said: str) -> bool:
    """If-None-Match (RFC 9110 §13.1.2), compared weakly."""
    known = [one.strip().removeprefix("W/") for one in said.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


async def _owner(user_id: str) -> tuple[str, str]:
    """The account's username and calendar key; empty ones, which open nothing, where there is no such account."""
    user = await models.User.get_or_none(id=key) if (key := as_key(user_id)) else None
    return (user.username, user.calendar_key) if user else ("", "")


def _of_account(user_id: str) -> tuple[EventList, EventList]:
    """What it organises, and where else it has a seat; a place in line would keep an evening for what may not be.

    Two lists, each read by an index of its own: as one, whose condition says OR, 100,000 events take a minute.
    """
    organised, attended = (EventList.of(EventFilter(mine=mine, viewer_id=user_id)) for mine in Mine)
    return organised, replace(attended, where=attended.where & Condition("t.creator_id <> ?", (UUID(user_id),)))


def _name(filter: EventFilter, search: str | None) -> str:
    """What a calendar program shows the list as: what was asked for, so that several are told apart."""
    tags = dict.fromkeys([*(filter.tags_any or ()), *(filter.tags_all or ())])
    mine = filter.mine.lower() if filter.mine else None
    parts = [part for part in (search, *(f"#{tag}" for tag in tags), filter.location, mine) if part]
    return f"Planner: {' '.join(parts)}" if parts else "Planner"
