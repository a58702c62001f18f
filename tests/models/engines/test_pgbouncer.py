"""PostgreSQL by way of PgBouncer in transaction mode: each transaction may meet another of its connections."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

import models
from models.reads import query
from settings import ROOT, Settings
from tests.conftest import Server
from tests.people import Person
from tests.pgbouncer import pgbouncer

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


@pytest.fixture
async def direct(settings: Settings) -> str:
    """The address of PostgreSQL itself."""
    return settings.database_url


@pytest.fixture
async def settings(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    async with pgbouncer(settings.database_url, tmp_path) as address:
        yield settings.model_copy(update={"database_url": address, "database_statement_cache": 0})


async def test_requests_of_every_kind_share_two_connections(ana: Person, ben: Person) -> None:
    event = await ana.creates_event(tags=["one", "two"], capacity=1)

    async def asks(number: int) -> None:
        person = (ana, ben)[number % 2]
        for _ in range(3):
            assert (await person.rsvps(event)).code is None
            assert (await person.tries_to_create(tags=["one", "two"])).code is None
            answer = await person.asks(
                '{ events(search: "talk", filter: {tagsAny: ["one"]}) { totalCount } me { id } }'
            )
            assert answer.data["me"] == {"id": person.id}

    await asyncio.gather(*(asks(number) for number in range(10)))

    assert (await ana.sees(event))["confirmedCount"] == 1
    assert (await query("SELECT count(*) AS n FROM events", []))[0]["n"] == 31


async def test_no_statement_is_kept_by_a_name(database: Settings) -> None:
    """On one connection another's name could stand for another statement."""
    for _ in range(2):
        await query("SELECT count(*) AS n FROM events WHERE title = $1", ["x"])

    assert await query("SELECT count(*) AS n FROM pg_prepared_statements", []) == [{"n": 0}]


async def test_seats_hold_on_two_servers_that_share_it(make_server: Callable[..., Server]) -> None:
    servers = [make_server(DATABASE_STATEMENT_CACHE="0") for _ in range(2)]
    for server in servers:
        await server.start()

    urls = [f"--url={server.url}" for server in servers]
    stress = await asyncio.create_subprocess_exec(
        *(sys.executable, "planner.py", "stress", "--capacity", "3", "--clients", "12", *urls),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        told = (await stress.communicate())[0].decode()

    assert "The seats held." in told
    assert "3 confirmed, 9 in line, 0 faults" in told


async def test_what_waits_for_a_lock_is_given_up(ana: Person, direct: str) -> None:
    """The limits come by connect_query, as operations.md has it: PgBouncer drops those that a client asks for."""
    other = await asyncpg.connect(direct)
    begun = time.perf_counter()
    async with other.transaction():
        await other.execute("LOCK TABLE events")
        code = (await ana.asks("{ events { nodes { title } } }")).code
    await other.close()

    assert code == "UNAVAILABLE"
    assert time.perf_counter() - begun < 8
    assert (await ana.tries_to_create()).code is None


async def test_migrating_leaves_no_lock_behind(settings: Settings, direct: str) -> None:
    """PgBouncer keeps the connection, and with it whatever lock was the connection's own."""
    for _ in range(2):
        async with asyncio.timeout(25):
            await models.migrate(settings, lambda _: None)

    connection = await asyncpg.connect(direct)
    try:
        left = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database AND d.datname = current_database()"
        assert await connection.fetchval(f"{left} WHERE locktype = 'advisory'") == 0
    finally:
        await connection.close()
