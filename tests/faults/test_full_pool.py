"""One connection, and a statement that keeps it: the others are told to come again, and are not kept waiting."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.load import RECOVERS_SECONDS, Load
from tests.faults.servers import within
from tests.people import Person

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
WAIT_SECONDS, STATEMENT_SECONDS = 1, 4
OTHERS = 30
LONG, TOO_LONG = "a long statement", "a statement that is too long"
SLEEP = f"""
CREATE FUNCTION sleep_over_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_sleep(CASE NEW.title WHEN '{LONG}' THEN 3 WHEN '{TOO_LONG}' THEN 60 ELSE 0 END);
  RETURN NEW;
END $$;
CREATE TRIGGER sleep_over_it BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION sleep_over_it();
"""
SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """To a database that takes its time with some events."""
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(SLEEP)
    yield connection
    await connection.execute("DROP FUNCTION sleep_over_it CASCADE")
    await connection.close()


async def test_the_others_are_told_to_come_again(
    make_watched: MakeWatched, database: Settings, connection: asyncpg.Connection
) -> None:
    server = make_watched(
        DATABASE_POOL_SIZE="1",
        DATABASE_WAIT_SECONDS=str(WAIT_SECONDS),
        DATABASE_STATEMENT_SECONDS=str(STATEMENT_SECONDS),
    )
    async with server.running(), server.http() as http:
        load = await Load.of(database, http, writers=1, guests=3, readers=1)
        ana, told = next(iter(load.people.values())), Counter[str]()

        async def sleeps() -> bool:
            return bool(await connection.fetchval(SLEEPS))

        async def some_wait() -> bool:
            return (await server.metrics()).value("planner_database_waiting") > 0

        for title, code in ((LONG, None), (TOO_LONG, "UNAVAILABLE")):
            async with load.running():
                long = asyncio.ensure_future(load.created.asks(ana, title, http))
                await within(RECOVERS_SECONDS, sleeps)
                asked = asyncio.gather(*(Person(http).asks("{ events { nodes { id } } }") for _ in range(OTHERS)))
                await within(RECOVERS_SECONDS, some_wait)
                assert (await server.metrics()).value("planner_database_connections_free") == 0
                await server.becomes("unavailable", RECOVERS_SECONDS)
                answers = await asked
                assert await long == code
                await load.goes_well()
                await server.becomes("ok", RECOVERS_SECONDS)
            told.update(["UNAVAILABLE"] * (OTHERS + (code is not None)))

            assert {answer.code for answer in answers} == {"UNAVAILABLE"}
            assert max(answer.response.elapsed for answer in answers) < timedelta(seconds=WAIT_SECONDS + 1)
            assert {answer.errors[0]["extensions"]["retryAfter"] for answer in answers} == {1}
            assert {answer.response.headers["retry-after"] for answer in answers} == {"1"}

        assert set(load.codes()) == {None, "UNAVAILABLE"}
        assert await server.errors() == load.errors + told
        assert (await server.metrics()).value("planner_database_waits_total") >= told.total()
    assert await load.faults() == []
