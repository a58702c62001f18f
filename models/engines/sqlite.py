"""SQLite through aiosqlite. See models/engines/__init__.py."""

import asyncio
import sqlite3
from typing import Any

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections

from errors import Unavailable

_ending: set[asyncio.Future[None]] = set()  # the event loop itself holds only weak references to its tasks


class ImmediateTransaction(SqliteTransactionWrapper):
    async def begin(self) -> None:
        # A plain BEGIN that reads first and writes later fails at once, whatever busy_timeout says, where another
        # process wrote in between. IMMEDIATE waits its turn here, where nothing has been done yet.
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise Unavailable("The database is busy.", retry_after=1) from error


class SafeTransaction(SqliteTransactionContext):
    """Cancelled at any moment, it rolls back and gives the lock of the one connection back."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
        except BaseException:
            self._trxlock.release()
            raise
        self.token = get_connections().set(self.connection_name, self.connection)
        try:
            await self.connection.begin()
        except BaseException:
            await self._end()
            raise
        client: TransactionalDBClient = self.connection
        return client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        try:
            if not self.connection._finalized and exc_type is None:
                await self.connection.commit()
        finally:
            await self._end()

    async def _end(self) -> None:
        get_connections().reset(self.token)
        ending = asyncio.ensure_future(self._roll_back_what_is_open())
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        await asyncio.shield(ending)

    async def _roll_back_what_is_open(self) -> None:
        # aiosqlite's thread takes statements in order: this one comes after a BEGIN or COMMIT whose wait was cancelled.
        try:
            await self.connection._connection.rollback()
        finally:
            self._trxlock.release()


class Client(SqliteClient):
    def _in_transaction(self) -> TransactionContext:
        return SafeTransaction(ImmediateTransaction(self), self._lock)


client_class = Client
