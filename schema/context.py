"""What a resolver knows of the request it answers."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from strawberry.dataloader import DataLoader
from strawberry.types.info import Info as StrawberryInfo

from auth import Accounts, Claims, Viewer
from errors import Refusal, Unauthenticated


class Context:
    """Made once for each operation. `now` is aware and in UTC."""

    def __init__(self, *, accounts: Accounts, authorization: str | None, now: datetime, request_id: str) -> None:
        self.accounts = accounts
        self.now = now
        self.request_id = request_id
        self._claims = self._decode(authorization)
        self._viewer: asyncio.Future[Viewer] | None = None
        self._loaders: dict[Any, DataLoader[Any, Any]] = {}

    async def viewer(self) -> Viewer:
        """The signed-in account, read once, and only where a field asks.

        Raises Unauthenticated, TokenInvalid, TokenExpired, TokenRevoked.
        """
        if isinstance(self._claims, Refusal):
            raise self._claims
        if self._viewer is None:
            self._viewer = asyncio.ensure_future(self.accounts.sessions.viewer(self._claims))
        return await self._viewer

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
