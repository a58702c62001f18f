"""PostgreSQL through asyncpg. See models/engines/__init__.py."""

from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import (
    PoolConnectionWrapper,
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections

from errors import Unavailable

# What asyncpg raises when there is no server, or one that takes nobody now. TimeoutError: no connection came free.
CANNOT_CONNECT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,  # the pool is closing
)


async def _take(client: Any) -> Any:
    """A connection of the client's pool. Raises Unavailable after the client's wait, or when the server is away."""
    try:
        if client._pool is None:
            async with client._pool_init_lock:
                if client._pool is None:
                    await client.create_connection(with_db=True)
        return await client._pool.acquire(timeout=client.wait_seconds)
    except CANNOT_CONNECT as error:
        raise Unavailable("The database cannot be reached, or is busy.", retry_after=1) from error


class BoundedConnection(PoolConnectionWrapper[Any]):
    """One statement's connection, waited for within bounds."""

    async def __aenter__(self) -> Any:
        self.connection = await _take(self.client)
        return self.connection


class SafeTransaction(TransactionContextPooled):
    """Cancelled at any moment, it gives its connection back, and the task sees the pool again."""

    client: Any

    async def __aenter__(self) -> TransactionalDBClient:
        self.client._connection = await _take(self.client._parent)
        self.token = get_connections().set(self.connection_name, self.client)
        try:
            await self.client.begin()
        except BaseException:
            await self._give_back()
            raise
        client: TransactionalDBClient = self.client
        return client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        try:
            if not self.client._finalized:
                await (self.client.rollback() if exc_type else self.client.commit())
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        get_connections().reset(self.token)
        # asyncpg shields this against cancellation, and rolls back what is still open.
        if pool := self.client._parent._pool:
            await pool.release(self.client._connection)


class Client(AsyncpgDBClient):
    """`wait_seconds` bounds the wait for a free connection."""

    def __init__(self, *args: Any, wait_seconds: float = 5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wait_seconds = wait_seconds

    def acquire_connection(self) -> Any:
        return BoundedConnection(self, self._pool_init_lock)

    def _in_transaction(self) -> TransactionContext:
        return SafeTransaction(TransactionWrapper(self), self._pool_init_lock)


client_class = Client
