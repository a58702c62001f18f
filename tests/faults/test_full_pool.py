"""One connection, and a statement that keeps it: the others are told to come again, and are not kept waiting."""

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.events import Created
from tests.faults.servers import Watched, within
from tests.journeys.test_seats_history import people
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


@pytest.fixture
async def server(settings: Settings, make_watched: MakeWatched) -> AsyncIterator[Watched]:
    """Its database takes its time with some events."""
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(SLEEP)
    server = make_watched(
        DATABASE_POOL_SIZE="1",
        DATABASE_WAIT_SECONDS=str(WAIT_SECONDS),
        DATABASE_STATEMENT_SECONDS=str(STATEMENT_SECONDS),
    )
    await server.start()
    yield server
    server.kill()
    await connection.execute("DROP FUNCTION sleep_over_it CASCADE")
    await connection.close()


@pytest.mark.parametrize(("title", "code"), [(LONG, None), (TOO_LONG, "UNAVAILABLE")])
async def test_the_others_are_told_to_come_again(
    server: Watched, database: Settings, title: str, code: str | None
) -> None:
    async with server.http() as http:
        (ana,), created, anybody = await people(database, 1, http), Created(), Person(http)
        long = asyncio.ensure_future(created.asks(ana, title))
        await asyncio.sleep(0.3)
        begun = time.perf_counter()
        answers, ready = await asyncio.gather(
            asyncio.gather(*(anybody.asks("{ events { nodes { id } } }") for _ in range(OTHERS))),
            server.is_ready(),
        )
        took = time.perf_counter() - begun
        assert await long == code
        await within(2, server.is_ready)
        assert await created.asks(ana, "another") is None

    assert {answer.code for answer in answers} == {"UNAVAILABLE"}
    assert {answer.errors[0]["extensions"]["retryAfter"] for answer in answers} == {1}
    assert {answer.response.headers["retry-after"] for answer in answers} == {"1"}
    assert not ready
    assert took < WAIT_SECONDS + 1
    assert await created.faults() == []
