"""A PostgreSQL whose connections end under the requests, and one whose tables others hold."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import asyncpg
import pytest
from tortoise import Tortoise
from tortoise.transactions import in_transaction

import models
from errors import EmailTaken, Unavailable
from models.engines.asyncpg import ConnectionLost
from models.reads import query
from settings import Settings
from tests.people import Person

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)

SLOW = "SELECT pg_backend_pid() AS pid, pg_sleep(0.3)::text AS slept"


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection of somebody else's to the same database."""
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


async def end_all(other: asyncpg.Connection) -> int:
    """Ends every connection to the database but this one, as a restart or an operator does; how many it were."""
    return len(
        await other.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    )


async def end_while_running(other: asyncpg.Connection, statement: Awaitable[Any], times: int = 1) -> Any:
    """What the statement answers whose connection ends while it sleeps, so many times."""
    task = asyncio.ensure_future(statement)
    ended: set[int] = set()
    async with asyncio.timeout(5):
        while len(ended) < times:
            asleep = await other.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
            )
            if asleep and asleep not in ended:
                ended.add(asleep)
                await end_all(other)
            await asyncio.sleep(0.01)
    return await task


async def is_whole() -> bool:
    """Whether every connection of the pool has been given back, and none is lost."""
    pool: Any = getattr(Tortoise.get_connection("default"), "_pool", None)
    async with asyncio.timeout(10):
        await asyncio.gather(*(query("SELECT 1 AS one", []) for _ in range(2 * pool.most)))
    return bool(pool.free == pool.size)


async def test_in_a_storm_of_ended_connections_nothing_is_a_fault_that_is_none(
    ana: Person, anybody: Person, other: asyncpg.Connection
) -> None:
    reads: list[str | None] = []
    writes: list[str | None] = []
    over = False

    async def read() -> None:
        while not over:
            answer = await anybody.asks("{ events(first: 5) { totalCount nodes { title creator { username } } } }")
            reads.extend([error["extensions"]["code"] for error in answer.errors] or [None])

    async def write() -> None:
        while not over:
            writes.append((await ana.tries_to_create(tags=["one", "two"])).code)

    busy = [asyncio.ensure_future(one()) for one in (read, read, read, read, write, write)]
    ended = 0
    for _ in range(60):
        await asyncio.sleep(0.02)
        ended += await end_all(other)
    over = True
    async with asyncio.timeout(10):
        await asyncio.gather(*busy)

    assert ended > 60
    assert set(reads) <= {None, "UNAVAILABLE"}
    assert set(writes) <= {None, "UNAVAILABLE", "INTERNAL"}  # a COMMIT whose answer was lost may have worked
    assert None in reads
    assert await is_whole()
    assert (await ana.tries_to_create()).code is None
    tags = (await query("SELECT count(*) AS n FROM event_tags", []))[0]["n"]
    assert tags == 2 * ((await query("SELECT count(*) AS n FROM events", []))[0]["n"] - 1)


async def test_a_read_whose_connection_ended_is_asked_once_more(database: Settings, other: asyncpg.Connection) -> None:
    first = (await query(SLOW, []))[0]["pid"]

    again = (await end_while_running(other, query(SLOW, [])))[0]["pid"]

    assert again != first
    assert await is_whole()


async def test_a_read_is_asked_no_more_than_twice(database: Settings, other: asyncpg.Connection) -> None:
    with pytest.raises(Unavailable):
        await end_while_running(other, query(SLOW, []), times=2)

    assert await is_whole()


async def test_a_write_outside_a_transaction_may_have_worked(database: Settings, other: asyncpg.Connection) -> None:
    write = "INSERT INTO event_tags (key, event_id) SELECT 'x', pg_sleep(5)::text::uuid"
    with pytest.raises(ConnectionLost):
        await end_while_running(other, Tortoise.get_connection("default").execute_query(write))

    assert await is_whole()


async def test_a_statement_of_a_transaction_that_ended_has_done_nothing(
    database: Settings, other: asyncpg.Connection
) -> None:
    async def transaction() -> None:
        async with in_transaction():
            await query(SLOW.replace("0.3", "5"), [])

    with pytest.raises(Unavailable):
        await end_while_running(other, transaction())

    async def found_ended() -> None:
        async with in_transaction():
            await end_all(other)
            await query("SELECT 1 AS one", [])

    with pytest.raises(Unavailable):
        await found_ended()

    assert await is_whole()


async def test_a_lost_commit_may_have_worked(database: Settings, other: asyncpg.Connection) -> None:
    async def transaction() -> None:
        async with in_transaction():
            await query("SELECT 1 AS one", [])
            await end_all(other)

    with pytest.raises(ConnectionLost):
        await transaction()

    assert await is_whole()


async def test_a_rule_that_refuses_is_heard_though_the_connection_ended(
    database: Settings, other: asyncpg.Connection
) -> None:
    async def transaction() -> None:
        async with in_transaction():
            await end_all(other)
            raise EmailTaken

    with pytest.raises(EmailTaken):
        await transaction()

    assert await is_whole()


async def test_a_transaction_left_alone_is_ended_by_the_server(database: Settings) -> None:
    async def transaction() -> None:
        async with in_transaction() as connection:
            await connection.execute_script("SET idle_in_transaction_session_timeout = 50")
            await asyncio.sleep(0.3)
            await query("SELECT 1 AS one", [])

    shown = await query("SHOW idle_in_transaction_session_timeout", [])
    with pytest.raises(Unavailable):
        await transaction()

    assert shown == [{"idle_in_transaction_session_timeout": "30s"}]
    assert await is_whole()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_statement_seconds": 0.8, "database_pool_size": 4})


async def test_a_locked_table_is_unavailable_after_a_bounded_wait(ana: Person, other: asyncpg.Connection) -> None:
    begun = time.perf_counter()
    async with other.transaction():
        await other.execute("LOCK TABLE events, event_tags")
        read = await ana.asks("{ events { nodes { title } } }")
        written = await ana.tries_to_create()
        taken = time.perf_counter() - begun

    assert (read.code, written.code) == ("UNAVAILABLE", "UNAVAILABLE")
    assert taken < 3
    assert await models.Event.all().count() == 0
    assert (await ana.tries_to_create()).code is None
    assert await is_whole()
