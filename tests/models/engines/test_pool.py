"""A PostgreSQL that gives the pool fewer connections than it may have."""

import asyncio

import asyncpg
import pytest

from models.engines.pool import Pool


class Server:
    """Takes so many connections, and counts how often it was asked for one."""

    def __init__(self, most: int) -> None:
        self.most, self.asked, self.taken = most, 0, 0

    async def connect(self) -> "Connection":
        self.asked += 1
        await asyncio.sleep(0)
        if self.taken >= self.most:
            raise asyncpg.TooManyConnectionsError("too many connections for role")
        self.taken += 1
        return Connection(self)


class Connection:
    def __init__(self, server: Server) -> None:
        self._server, self._is_closed = server, False

    def is_closed(self) -> bool:
        return self._is_closed

    def is_in_transaction(self) -> bool:
        return False

    def terminate(self) -> None:
        self._is_closed = True
        self._server.taken -= 1


async def works(pool: Pool, *, leaves_it_usable: bool = True) -> None:
    connection = await pool.acquire()
    await asyncio.sleep(0.001)
    pool.release(connection, is_usable=leaves_it_usable)


async def test_who_is_refused_one_more_waits_for_one_that_comes_free() -> None:
    server = Server(most=3)
    pool = Pool(server.connect, most=10)
    async with asyncio.timeout(5):
        await asyncio.gather(*(works(pool) for _ in range(20)))
        asked_at_first = server.asked
        await asyncio.gather(*(works(pool) for _ in range(20)))

    assert (pool.size, pool.free, pool.waiting) == (3, 3, 0)
    assert asked_at_first == 10
    assert server.asked == 10  # and not again and again by each


async def test_who_waits_is_called_when_a_connection_is_lost() -> None:
    server = Server(most=1)
    pool = Pool(server.connect, most=10)
    async with asyncio.timeout(5):
        await asyncio.gather(*(works(pool, leaves_it_usable=False) for _ in range(20)))

    assert (pool.size, pool.waiting, server.taken) == (0, 0, 0)


async def test_where_others_have_all_of_them_nobody_waits() -> None:
    server = Server(most=1)
    pool = Pool(server.connect, most=10)
    server.taken = 1
    async with asyncio.timeout(5):
        told = await asyncio.gather(*(works(pool) for _ in range(20)), return_exceptions=True)

    assert {type(error) for error in told} == {asyncpg.TooManyConnectionsError}
    assert (pool.size, pool.waiting) == (0, 0)


async def test_once_there_is_room_the_pool_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engines.pool.REFUSED_SECONDS", 0)
    server = Server(most=1)
    pool = Pool(server.connect, most=3)
    await asyncio.gather(*(works(pool) for _ in range(5)))
    server.most = 10

    await asyncio.gather(*(works(pool) for _ in range(5)))

    assert pool.size == 3
