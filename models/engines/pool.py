"""Connections to PostgreSQL, used again and again.

asyncpg's own pool costs as much as a short statement does: 37 us against 19.5 for a statement of one row (its proxies,
the task in which each connection comes back, and timers). See docs/decisions/0019-pool.md.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import asyncpg

from models.engines.line import Line

REFUSED_SECONDS = 1.0  # for so long no more connections are tried

POOLS: "WeakSet[Pool]" = WeakSet()  # of the process, for who watches it


class Pool:
    """At most `most` connections, made when they are needed, or as many as PostgreSQL lets it have. Whoever finds none
    free waits in line; how long, is the waiter's own affair. A connection is as its user left it: it comes back outside
    of any transaction."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], most: int) -> None:
        self._connect, self.most = connect, most
        self._free: list[Any] = []  # the last one back is the next one out: its memory and PostgreSQL's are warm
        self._all: set[Any] = set()
        self._making = 0
        self._line = Line()
        self._is_closing = False
        self._refused_until = 0.0
        self.waits = 0  # times that none was free
        POOLS.add(self)

    @property
    def size(self) -> int:
        return len(self._all) + self._making

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def waiting(self) -> int:
        return len(self._line)

    def take(self) -> Any | None:
        """A connection, where one is free."""
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                return connection
            self._all.discard(connection)  # ended by the server while nobody used it
        return None

    async def acquire(self) -> Any:
        """A connection, as soon as one is free. Raises what connecting raises, and InterfaceError when the pool
        closes."""
        while True:
            if self._is_closing:
                raise asyncpg.InterfaceError("the pool is closing")
            if connection := self.take():
                return connection
            if self.size < self.most and not self._has_to_do:
                try:
                    return await self._make()
                except asyncpg.TooManyConnectionsError:
                    if not self.size:
                        raise
                    continue
            self.waits += 1
            await self._wait()

    def release(self, connection: Any, *, is_usable: bool = True) -> None:
        """Also of one that has ended. Not usable is one in whose midst a statement may still be."""
        if self._is_closing or not is_usable or connection.is_closed() or connection.is_in_transaction():
            self._all.discard(connection)
            connection.terminate()
        else:
            self._free.append(connection)
        self._line.call_next()

    async def close(self) -> None:
        """Returns once every connection has come back and is closed."""
        self._is_closing = True
        self._line.call_all()
        while self._free:
            connection = self._free.pop()
            self._all.discard(connection)
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # it is gone already
                await connection.close()
        while self.size:
            await self._wait()

    def terminate(self) -> None:
        """Ends every connection at once, with whatever is being done on it."""
        self._is_closing = True
        self.interrupt()

    def interrupt(self) -> None:
        """Ends every connection that there is now; whoever uses one meets that."""
        for connection in self._all:
            connection.terminate()

    @property
    def _has_to_do(self) -> bool:
        """PostgreSQL takes no more connections, and one of those that there are will come free."""
        return self.size > 0 and time.monotonic() < self._refused_until

    async def _make(self) -> Any:
        self._making += 1
        try:
            connection = await self._connect()
        except BaseException as error:
            self._making -= 1
            if isinstance(error, asyncpg.TooManyConnectionsError) and self.size:
                self._refused_until = time.monotonic() + REFUSED_SECONDS
            else:
                self._line.call_next()  # who finds the room for one, and tries too
            raise
        self._making -= 1
        self._all.add(connection)
        return connection

    async def _wait(self) -> None:
        """Until a connection, or the room for one, is free; somebody else may still be quicker."""
        await self._line.wait(self._line.call_next)
