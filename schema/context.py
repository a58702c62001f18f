"""What a resolver knows of the request it answers."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from strawberry.dataloader import DataLoader
from strawberry.types.info import Info as StrawberryInfo

from auth import Accounts, Claims, Client, Viewer
from auth.tokens import LEEWAY_SECONDS
from calendars.links import Links
from errors import Refusal, Unauthenticated, Unavailable
from schema.live import Live


class Context:
    """Made once for each operation. `clock` says what time it is, aware and in UTC; `now` is when it was asked."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        live: Live,
        links: Links,
        authorization: str | None,
        client: Client,
        clock: Callable[[], datetime],
        request_id: str,
    ) -> None:
        self.accounts, self.live, self.links = accounts, live, links
        self.client, self.request_id = client, request_id
        self._authorization, self._clock = authorization, clock
        self.renew()

    def renew(self) -> None:
        """Forgets all that was found out so far: each change that a subscription tells is answered like a request of
        its own, at its own time."""
        self.now = self._clock()
        self._claims = self._decode(self._authorization)
        self._viewer: asyncio.Future[Viewer] | None = None
        self._loaders: dict[Any, DataLoader[Any, Any]] = {}

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
        return await self._viewer

    async def viewer_if_any(self) -> Viewer | None:
        """The signed-in account; None without a token, or with one that no longer is good."""
        try:
            return await self.viewer()
        except Unavailable:
            raise
        except Refusal:
            return None

    def loader(self, key: Any, load: Callable[[list[Any]], Any]) -> DataLoader[Any, Any]:
        """One loader for each key in this operation, so that equal questions are asked together."""
        if key not in self._loaders:
            self._loaders[key] = DataLoader(load_fn=load, max_batch_size=100)  # SQLite joins no more than 500 SELECTs
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
