"""What a resolver knows of the request it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, TypeVar

from strawberry.dataloader import DataLoader
from strawberry.types.info import Info as StrawberryInfo

from auth import Accounts, Claims, Client, Viewer
from auth.tokens import LEEWAY_SECONDS
from calendars.links import Links
from errors import Refusal, Unauthenticated, Unavailable
from schema.live import Live

T = TypeVar("T")


class Loader(DataLoader[Any, Any]):
    """Fields that ask the same share one answer. One that is given up, since another failed, does not take it away."""

    def load(self, key: Any) -> Awaitable[Any]:
        answer: Any = super().load(key)  # a future, whatever its type says
        return _for_all(answer)

    def known(self, key: Any) -> asyncio.Future[Any] | None:
        """The answer, where it has come already."""
        answer: asyncio.Future[Any] | None = self.cache_map.get(key)
        return answer if answer is not None and answer.done() else None


def _for_all(answer: asyncio.Future[T]) -> asyncio.Future[T]:
    """The answer, for one of those who share it: a field that is given up, since another one failed, must not take it
    away from all others."""
    answer.add_done_callback(_look_at)
    return asyncio.shield(answer)


def _look_at(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()  # where all have given it up, Python would log that nobody asked


class Caller(Protocol):
    """Who asks, over whatever it comes by."""

    @property
    def authorization(self) -> str | None:
        """The value of the header of this name, not verified yet."""

    @property
    def client(self) -> Client: ...
    @property
    def base_url(self) -> str:
        """The address under which the server was reached."""

    @property
    def is_to_be_fresh(self) -> bool:
        """Whether it may not be answered with what was true a moment ago."""


class Context:
    """Made once for each operation. `clock` says what time it is, aware and in UTC; `now` is when it was asked.
    `renewed` is told of each renewal."""

    renewed: Callable[[], None] | None = None

    def __init__(
        self,
        *,
        accounts: Accounts,
        live: Live,
        links: Links,
        caller: Caller,
        clock: Callable[[], datetime],
        request_id: str,
    ) -> None:
        self.accounts, self.live, self.request_id = accounts, live, request_id
        self._links, self._caller, self._clock = links, caller, clock
        self.renew()

    @property
    def client(self) -> Client:
        return self._caller.client

    @cached_property
    def links(self) -> Links:
        return self._links.below(self._caller.base_url)

    def renew(self) -> None:
        """Forgets all that was found out so far: each change that a subscription tells is answered like a request of
        its own, at its own time."""
        if self.renewed:
            self.renewed()
        self.now = self._clock()
        self._claims = self._decode(self._caller.authorization)
        self._viewer: asyncio.Future[Viewer] | None = None
        self._loaders: dict[Any, Loader] = {}

    @property
    def is_to_be_fresh(self) -> bool:
        return self._caller.is_to_be_fresh

    @property
    def claims(self) -> Claims | None:
        """Of a token that is good, unless its session has ended."""
        return None if isinstance(self._claims, Refusal) else self._claims

    @property
    def token_seconds_left(self) -> float:
        """How long the token is good, unless its session ends before; nothing where it is not."""
        if isinstance(self._claims, Refusal):
            return 0
        return self._claims.expires_at + LEEWAY_SECONDS - self.now.timestamp()

    async def viewer(self) -> Viewer:
        """The signed-in account, read once, and only where a field asks.

        Raises Unauthenticated, TokenInvalid, TokenExpired, TokenRevoked.
        """
        if isinstance(self._claims, Refusal):
            raise self._claims
        if self._viewer is None:
            self._viewer = asyncio.ensure_future(self.accounts.sessions.viewer(self._claims, self.now))
        return await _for_all(self._viewer)

    async def meet_viewer(self) -> None:
        """Has `known_viewer` know who it is."""
        with suppress(Exception):  # is told where somebody wants to know
            await self.viewer()

    @property
    def known_viewer(self) -> Viewer | None:
        """As `viewer_if_any`, for fields whose mark says `before=Context.meet_viewer`: these need not wait."""
        if isinstance(self._claims, Refusal) or self._viewer is None:
            return None
        try:
            return self._viewer.result()
        except Unavailable:
            raise
        except Refusal:
            return None

    async def viewer_if_any(self) -> Viewer | None:
        """The signed-in account; None without a token, or with one that no longer is good."""
        try:
            return await self.viewer()
        except Unavailable:
            raise
        except Refusal:
            return None

    def loader(self, key: Any, load: Callable[[list[Any]], Any]) -> Loader:
        """One loader for each key in this operation, so that equal questions are asked together."""
        if key not in self._loaders:
            self._loaders[key] = Loader(load_fn=load, max_batch_size=100)  # SQLite joins no more than 500 SELECTs
        return self._loaders[key]

    def _decode(self, authorization: str | None) -> Claims | Refusal:
        # A refusal is kept, not raised: public fields, signup and signin answer whatever the header says.
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return Unauthenticated()
        try:
            return self.accounts.sessions.access_tokens.verify(token.strip(), self.now)
        except Refusal as refusal:
            return refusal


Info = StrawberryInfo[Context, None]
