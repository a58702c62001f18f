"""SQLite through aiosqlite. See models/engines/__init__.py."""

import asyncio
import os
import sqlite3
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

from tortoise.backends.base.client import ConnectionWrapper, TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
    translate_exceptions,
)
from tortoise.connection import get_connections

from errors import Unavailable
from models.engines.statements import followed, told
from models.engines.troubles import Troubles, Why

SYSTEM = "sqlite"

# What a statement fails with where the disk takes no more.
CANNOT_WRITE = {
    sqlite3.SQLITE_FULL: Why.DISK,
    sqlite3.SQLITE_IOERR: Why.DISK,
    sqlite3.SQLITE_READONLY: Why.READ_ONLY,
}

# What a statement by itself, a transaction of its own, fails with and is undone; of SQLITE_IOERR nobody knows that.
UNDONE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})


class CommitFailed(Exception):
    """Nobody knows whether the transaction was done, so this is a fault and no refusal."""

    def __init__(self) -> None:
        super().__init__("The disk failed while a transaction was written to it.")


_ending: set[asyncio.Future[None]] = set()  # the event loop itself holds only weak references to its tasks


def _kind(error: object) -> int:
    """SQLite's primary result code; 0 where it is no error of SQLite's."""
    if not isinstance(error, sqlite3.Error):
        error = next(iter(getattr(error, "args", ())), None)  # Tortoise wraps it into one of its own
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF  # above are details


def _unavailable(client: Any, error: BaseException) -> Unavailable:
    if _kind(error) == sqlite3.SQLITE_BUSY:
        return _busy()
    client.has_room &= CANNOT_WRITE.get(_kind(error)) is not Why.DISK
    refusal: Unavailable = client.troubles.refusal(CANNOT_WRITE.get(_kind(error), Why.DISK), error)
    return refusal


def _busy() -> Unavailable:
    return Unavailable("The database is busy.", retry_after=1)


async def _take(lock: asyncio.Lock, wait_seconds: float) -> None:
    try:
        async with asyncio.timeout(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise _busy() from None


class BoundedConnection(ConnectionWrapper[Any]):
    """The one connection, waited for within bounds."""

    client: Any

    async def __aenter__(self) -> Any:
        await _take(self._lock, self.client.wait_seconds)
        try:
            await self.ensure_connection()
        except BaseException:
            self._lock.release()
            raise
        return self.connection

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        await super().__aexit__(exc_type, exc_val, exc_tb)
        if _kind(exc_val) in UNDONE:
            raise _unavailable(self.client, exc_val) from exc_val


class _Fetching:
    acquire_connection: Any

    @translate_exceptions
    async def fetch(self, query: str, values: Sequence[Any]) -> Sequence[Any]:
        """What a statement finds or returns: the driver's records, with nothing in between."""
        async with self.acquire_connection() as connection:
            records: Sequence[Any] = await connection.execute_fetchall(query, values)
            return records


@followed(SYSTEM)
class ImmediateTransaction(_Fetching, SqliteTransactionWrapper):
    _parent: Any

    async def begin(self) -> None:
        # A plain BEGIN that reads first and writes later fails at once, whatever busy_timeout says, where another
        # process wrote in between. IMMEDIATE waits its turn here, where nothing has been done yet.
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise _unavailable(self._parent, error) from error

    @translate_exceptions
    async def execute_script(self, query: str) -> None:
        """In the transaction: sqlite3's own executescript would commit first what there is of it."""
        async with self.acquire_connection() as connection:
            for statement in _statements(query):
                await connection.execute(statement)

    async def commit(self) -> None:
        """Raises CommitFailed where nobody knows whether it was done: whoever calls this, for models/changes.py does so
        before the transaction's block ends."""
        try:
            await told(SYSTEM, "COMMIT", super().commit())
            self._parent.has_room = True
        except sqlite3.OperationalError as error:
            if _kind(error) == sqlite3.SQLITE_FULL:  # and is undone; of what else fails here, nobody knows that
                raise _unavailable(self._parent, error) from error
            self._parent.has_room = False
            self._parent.troubles.note(Why.DISK, error)
            raise CommitFailed from error


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):  # not within a text, nor within a trigger
            yield statement
            statement = ""
    if statement:
        yield statement  # and SQLite says what it lacks


class SafeTransaction(SqliteTransactionContext):
    """Cancelled at any moment, it rolls back and gives the lock of the one connection back."""

    def __aenter__(self) -> Coroutine[Any, Any, TransactionalDBClient]:
        return told(SYSTEM, "BEGIN", self._begin())

    async def _begin(self) -> TransactionalDBClient:
        await _take(self._trxlock, self.connection._parent.wait_seconds)
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
        if _kind(exc_val) in CANNOT_WRITE:
            raise _unavailable(self.connection._parent, exc_val) from exc_val

    async def _end(self) -> None:
        get_connections().reset(self.token)
        ending = asyncio.ensure_future(self._roll_back_what_is_open())
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        await asyncio.shield(ending)

    async def _roll_back_what_is_open(self) -> None:
        # aiosqlite's thread takes statements in order: this one comes after a BEGIN or COMMIT whose wait was cancelled.
        try:
            connection = self.connection._connection
            rollback = connection.rollback()
            await (told(SYSTEM, "ROLLBACK", rollback) if connection.in_transaction else rollback)
        finally:
            self._trxlock.release()


@followed(SYSTEM)
class Client(_Fetching, SqliteClient):
    """`wait_seconds` bounds the wait for the one connection, and for another process that writes to the file."""

    def __init__(self, *args: Any, wait_seconds: float = 5, **kwargs: Any) -> None:
        super().__init__(*args, busy_timeout=round(wait_seconds * 1000), **kwargs)
        self.wait_seconds, self.most_connections = wait_seconds, 1
        self.troubles = Troubles(self.filename)
        self.has_room = True  # as the last transaction that wrote found

    async def takes_writes(self) -> bool:
        """False where the file, or all of its disk, is read-only to this process: told as a trouble; and where the
        disk took no more at the last write, until it does."""
        takes_writes = os.access(self.filename, os.W_OK)
        if not takes_writes:
            self.troubles.note(Why.READ_ONLY, "the file is read-only")
        return takes_writes and self.has_room

    def acquire_connection(self) -> ConnectionWrapper[Any]:
        return BoundedConnection(self._lock, self)

    def _in_transaction(self) -> TransactionContext:
        return SafeTransaction(ImmediateTransaction(self), self._lock)


client_class = Client
