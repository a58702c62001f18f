"""An SQLite file that others write to, and a disk that takes no more."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
from tortoise import Tortoise
from tortoise.transactions import in_transaction

import models
from errors import Unavailable
from models.reads import query
from settings import Settings
from tests.people import Person

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
SIGN_OUT = "mutation { signout { sessionsEnded } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_wait_seconds": 0.5})


@pytest.fixture
def other(settings: Settings) -> Iterator[sqlite3.Connection]:
    """Another process's connection to the same file."""
    file = settings.database_url.removeprefix("sqlite://")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


async def test_who_else_writes_is_waited_for_within_bounds(ana: Person, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    begun = time.perf_counter()
    answers = await asyncio.gather(*(ana.tries_to_create() for _ in range(10)))
    taken = time.perf_counter() - begun
    other.rollback()

    assert {answer.code for answer in answers} == {"UNAVAILABLE"}
    assert taken < 3  # one after another it would have been 10 waits
    assert (await ana.tries_to_create()).code is None


async def test_so_is_it_by_a_statement_of_its_own(ana: Person, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    told = await ana.asks(SIGN_OUT)
    other.rollback()

    assert told.code == "UNAVAILABLE"
    assert (await ana.asks(SIGN_OUT)).code is None


async def test_a_statement_waits_for_a_transaction_within_bounds(database: Settings) -> None:
    begun = asyncio.Event()

    async def hold() -> None:
        async with in_transaction():
            begun.set()
            await asyncio.sleep(1.5)

    holding = asyncio.ensure_future(hold())
    await begun.wait()
    with pytest.raises(Unavailable):
        await query("SELECT 1 AS one", [])
    with pytest.raises(Unavailable):
        async with in_transaction():
            raise AssertionError("two transactions at once")  # pragma: no cover
    await holding

    assert await query("SELECT 1 AS one", []) == [{"one": 1}]


async def test_both_waits_are_the_setting(database: Settings) -> None:
    assert await query("PRAGMA busy_timeout", []) == [{"timeout": 500}]


@pytest.fixture
async def full(ana: Person) -> AsyncIterator[Person]:
    """A person on a disk that is full."""
    connection = Tortoise.get_connection("default")
    pages = (await query("PRAGMA page_count", []))[0]["page_count"]
    await connection.execute_query(f"PRAGMA max_page_count = {pages}")
    yield ana
    await connection.execute_query("PRAGMA max_page_count = 1073741823")
    assert (await ana.tries_to_create(description="x" * 10_000)).code is None  # and with room again, it goes on


async def test_a_full_disk_is_unavailable_and_told_in_the_log(full: Person, caplog: pytest.LogCaptureFixture) -> None:
    answers = [await full.tries_to_create(description="x" * 10_000, tags=["one"]) for _ in range(10)]

    assert [answer.code for answer in answers][-1] == "UNAVAILABLE"
    assert {answer.code for answer in answers} <= {None, "UNAVAILABLE"}  # what is left of a page may hold one more
    assert "database or disk is full" in caplog.text
    assert await models.Event.all().count() == sum(answer.code is None for answer in answers)


async def test_a_file_that_cannot_be_written_is_unavailable(ana: Person, caplog: pytest.LogCaptureFixture) -> None:
    await query("PRAGMA query_only = ON", [])

    assert (await ana.tries_to_create()).code == (await ana.asks(SIGN_OUT)).code == "UNAVAILABLE"
    assert (await ana.asks("{ events { totalCount } }")).data == {"events": {"totalCount": 0}}
    assert "readonly" in caplog.text


async def test_a_fault_of_our_own_stays_one(database: Settings) -> None:
    with pytest.raises(Exception, match="no such table"):
        async with in_transaction():
            await query("SELECT 1 FROM nowhere", [])
