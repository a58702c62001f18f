"""PostgreSQL through asyncpg. See models/engines/__init__.py."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import (
    PoolConnectionWrapper,
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections
from tortoise.exceptions import DBConnectionError, IntegrityError, TransactionManagementError

from errors import Unavailable
from models.engines.pool import Pool
from models.engines.statements import followed, told
from models.engines.troubles import Troubles, Why

SYSTEM = "postgresql"

# What asyncpg raises where the server, or the way to it, goes away in the middle of a statement.
GONE = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    TimeoutError,  # of command_timeout: nothing was heard any more, not even that the statement took too long
)
# And these, which have other causes too, where it finds the connection closed.
CLOSED = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidTransactionStateError,  # the server ended a transaction that was idle
    TransactionManagementError,  # as Tortoise translates it
)
# What it raises when there is no server, or one that does not take us. TimeoutError: no connection came free.
CANNOT_CONNECT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,  # the pool is closing
    asyncpg.InternalClientError,
    DBConnectionError,  # as Tortoise translates it
)

# What ends a transaction, and all that it did is undone: others that are in its way,
ROLLED_BACK = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
# and a server that cannot, until somebody mends it.
INCAPABLE = (
    (asyncpg.ReadOnlySQLTransactionError, Why.READ_ONLY),
    ((asyncpg.DiskFullError, asyncpg.PostgresSystemError), Why.DISK),
    (asyncpg.InsufficientResourcesError, Why.RESOURCES),
)
ENDS_THE_CONNECTION = frozenset({"FATAL", "PANIC"})  # PostgreSQL's severities


T = TypeVar("T")


class ConnectionLost(Exception):
    """Nobody knows whether the statement was executed, so this is a fault and no refusal."""

    def __init__(self) -> None:
        super().__init__("The connection to the database ended while a statement was under way.")


class ConnectionSilent(ConnectionLost):
    """The same, after all the time that there is: to ask again would take as much once more."""


def _is_lost(error: BaseException | None, connection: Any) -> bool:
    if isinstance(error, asyncpg.IdleSessionTimeoutError):
        return False  # it came while PostgreSQL waited for a statement, and so before this one
    if isinstance(error, asyncpg.PostgresError) and (error.severity_en or error.severity) in ENDS_THE_CONNECTION:
        return True  # PgBouncer writes the one without the other
    return isinstance(error, GONE) or (isinstance(error, CLOSED) and _is_closed(connection))


def _is_closed(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # the pool has noticed it, and taken the connection back


def _went_away() -> Unavailable:
    return Unavailable("The database went away.", retry_after=1)


def _took_too_long() -> Unavailable:
    return Unavailable("The database is busy: a statement took too long.", retry_after=1)


def _refusal(client: Any, error: BaseException | None) -> Unavailable | None:
    """What is told of an error that PostgreSQL answered, and undid all for; None of a fault of our own."""
    if isinstance(error, TransactionManagementError):
        error = error.__cause__  # as it was before Tortoise translated it
    if isinstance(error, asyncpg.IdleSessionTimeoutError):
        return _went_away()
    if isinstance(error, asyncpg.QueryCanceledError):
        return _took_too_long()
    if isinstance(error, ROLLED_BACK):
        return Unavailable("The database is busy.", retry_after=1)
    for errors, why in INCAPABLE:
        if isinstance(error, errors):
            return _troubles(client).refusal(why, error)
    return None


def _cannot_connect(client: Any, error: Exception) -> Unavailable:
    is_told_why = isinstance(error, OSError | asyncpg.PostgresError) and not isinstance(error, TimeoutError)
    if is_told_why and client._pool is not None:  # else it is being opened, and who does so tells
        return _troubles(client).refusal(Why.UNREACHABLE, error)
    return Unavailable("The database cannot be reached, or is busy.", retry_after=1)


def _troubles(client: Any) -> Troubles:
    troubles: Troubles = client.troubles
    return troubles


async def _take(client: Any) -> Any:
    """A connection of the client's pool. Raises Unavailable after the client's wait, or when none is to be had."""
    try:
        if client._pool is None:
            async with client._pool_init_lock:
                if client._pool is None:
                    await client.create_connection(with_db=True)
        if connection := client._pool.take():
            return connection
        async with asyncio.timeout(client.wait_seconds):
            return await client._pool.acquire()
    except CANNOT_CONNECT as error:
        raise _cannot_connect(client, error) from error


def _give_back(client: Any, connection: Any, exc_type: Any = None) -> None:
    if pool := client._pool:
        # Left in the midst of a statement: what PostgreSQL answers to it may still come.
        pool.release(connection, is_usable=exc_type not in (asyncio.CancelledError, TimeoutError))


class BoundedConnection(PoolConnectionWrapper[Any]):
    """One statement's connection, waited for within bounds. Raises ConnectionLost where it ends with the statement
    under way."""

    async def __aenter__(self) -> Any:
        self.connection = await _take(self.client)
        return self.connection

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        lost = _is_lost(exc_val, self.connection)
        _give_back(self.client, self.connection, exc_type)
        if lost:
            raise (ConnectionSilent if exc_type is TimeoutError else ConnectionLost) from exc_val
        if refusal := _refusal(self.client, exc_val):  # a statement by itself is a transaction too
            raise refusal from exc_val


class SafeTransaction(TransactionContextPooled):
    """Cancelled at any moment, it gives its connection back, and the task sees the pool again."""

    client: Any

    def __aenter__(self) -> Coroutine[Any, Any, TransactionalDBClient]:
        return told(SYSTEM, "BEGIN", self._begin())

    async def _begin(self) -> TransactionalDBClient:
        self.client._connection = await _take(self.client._parent)
        self.token = get_connections().set(self.connection_name, self.client)
        try:
            await self.client.begin()
        except BaseException as error:
            lost = _is_lost(error, self.client._connection)
            self._end(type(error))
            if lost:
                raise _went_away() from error
            raise
        client: TransactionalDBClient = self.client
        return client

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        lost = _is_lost(exc_val, self.client._connection)  # and with the connection, what the transaction has done
        is_undecided = isinstance(exc_val, ConnectionLost)  # its COMMIT is what failed
        try:
            if exc_type is None and not self.client._finalized:
                await self.client.commit()
            elif not (self.client._finalized or lost or is_undecided):
                with suppress(*GONE, *CLOSED):  # a connection that fails to roll back is not used again
                    await told(SYSTEM, "ROLLBACK", self.client.rollback())
        finally:
            self._end(exc_type)
        if lost:
            raise _went_away() from exc_val
        if refusal := _refusal(self.client._parent, exc_val):
            raise refusal from exc_val

    def _end(self, exc_type: Any = None) -> None:
        get_connections().reset(self.token)
        _give_back(self.client._parent, self.client._connection, exc_type)


async def _records(connection: Any, query: str, values: Sequence[Any]) -> Sequence[Any]:
    try:
        records: Sequence[Any] = await connection.fetch(query, *values)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise IntegrityError(error) from error  # as Tortoise does
    return records


@followed(SYSTEM)
class ReadCommitted(TransactionWrapper):
    async def fetch(self, query: str, values: Sequence[Any]) -> Sequence[Any]:
        """What a statement finds or returns, in the transaction."""
        async with self.acquire_connection() as connection:
            return await _records(connection, query, values)

    async def commit(self) -> None:
        """Raises ConnectionLost where nobody knows whether it was done: whoever calls this, for models/changes.py does
        so before the transaction's block ends. Where PostgreSQL answers that it was not, that is as of any statement.
        """
        try:
            await told(SYSTEM, "COMMIT", super().commit())
        except Exception as error:
            if _is_lost(error, self._connection):
                raise ConnectionLost from error
            if refusal := _refusal(self._parent, error):
                raise refusal from error
            raise

    async def begin(self) -> None:
        # Whatever the server's default is: the rules wait for a locked row, and then see it as it has become.
        self.transaction = self._connection.transaction(isolation="read_committed")
        await self.transaction.start()


async def _answered(ask: Callable[[str, Any], Awaitable[T]], query: str, values: Any) -> T:
    try:
        return await ask(query, values)
    except ConnectionSilent as error:
        if not query.startswith("SELECT"):
            raise
        raise _took_too_long() from error
    except ConnectionLost:
        if not query.startswith("SELECT"):
            raise
        # A restart ends every connection, and each is noticed by whoever uses it next.
    try:
        return await ask(query, values)
    except ConnectionLost as error:
        raise _went_away() from error


@followed(SYSTEM)
class Client(AsyncpgDBClient):
    """`wait_seconds` bounds the wait for a free connection. A SELECT whose connection ends is asked once more."""

    def __init__(self, *args: Any, wait_seconds: float = 5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wait_seconds, self.most_connections = wait_seconds, self.pool_maxsize
        self.troubles = Troubles(f"{self.host}:{self.port}/{self.database}")

    def _check_loop(self) -> bool:
        # Whether the event loop has become another one since the database was opened: not here. To ask is a system
        # call at each use, 5 us of an answer of 116.
        return True

    async def create_pool(self, **kwargs: Any) -> Any:
        most, smallest = kwargs.pop("max_size"), kwargs.pop("min_size")
        pool = Pool(partial(asyncpg.connect, **kwargs), most)
        for connection in [await pool.acquire() for _ in range(smallest)]:
            pool.release(connection)
        return pool

    async def fetch(self, query: str, values: Sequence[Any]) -> Sequence[Any]:
        """What a statement finds or returns: the driver's records, with nothing in between."""
        return await _answered(self._fetch, query, values)

    async def _fetch(self, query: str, values: Sequence[Any]) -> Sequence[Any]:
        async with BoundedConnection(self, self._pool_init_lock) as connection:
            return await _records(connection, query, values)

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, list[dict[str, Any]]]:
        return await _answered(super().execute_query, query, values)

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        return await _answered(super().execute_query_dict, query, values)

    async def takes_writes(self) -> bool:
        """False of a replica, and where the operator or a failover has closed it: told as a trouble."""
        (answer,) = await self.fetch("SELECT current_setting('transaction_read_only') = 'off' AS takes_writes", [])
        if not answer["takes_writes"]:
            self.troubles.note(Why.READ_ONLY, "it is read-only")
        return bool(answer["takes_writes"])

    def acquire_connection(self) -> Any:
        return BoundedConnection(self, self._pool_init_lock)

    def _in_transaction(self) -> TransactionContext:
        return SafeTransaction(ReadCommitted(self), self._pool_init_lock)


client_class = Client
