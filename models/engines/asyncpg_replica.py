"""A PostgreSQL that follows the primary: it answers SELECTs, and what it does not answer, the primary does."""

from collections.abc import Sequence
from typing import Any, cast

import asyncpg
from tortoise.connection import get_connections

from errors import Unavailable
from models.engines.asyncpg import Client, ConnectionLost

# UndefinedTableError and the like: a migration that the replica has not come to yet.
_UNANSWERED = (Unavailable, ConnectionLost, asyncpg.PostgresError)


class ReplicaClient(Client):
    """`unanswered` counts the SELECTs that the primary answered in its place. It stands beside Tortoise's connections:
    where there are two of these, Tortoise wants each transaction to say which it means."""

    unanswered = 0

    async def fetch(self, query: str, values: Sequence[Any]) -> Sequence[Any]:
        try:
            return await self._fetch(query, values)
        except _UNANSWERED as error:
            return await self._primary_for(error).fetch(query, values)

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        return [dict(record) for record in await self.fetch(query, values or [])]

    def interrupt(self) -> None:
        """Ends the statements that the replica is silent on: the primary answers them."""
        if self._pool is not None:
            self._pool.interrupt()

    def _primary_for(self, error: Exception) -> Client:
        if isinstance(error.__cause__, asyncpg.QueryCanceledError):
            raise error  # it took all the time that a statement has, and would take as much of the primary's
        self.unanswered += 1
        return cast("Client", get_connections().get("default"))


client_class = ReplicaClient
