"""A PostgreSQL that cannot: its disk is full, it takes no writes, it lets nobody in."""

import logging
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tortoise import Tortoise

import models
from errors import Unavailable
from models.engines.asyncpg import ConnectionLost
from settings import Settings
from tests.models.engines.test_asyncpg import is_whole, other
from tests.people import Person

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
__all__ = ["other"]

# Disk full, memory, connections, a limit of its configuration, a read-only transaction, idle for too long, its disk.
INCAPABLE = ("53100", "53200", "53300", "53400", "25006", "57P05", "58030")
OUR_FAULTS = ("XX000", "22012", "42P01")
AT_COMMIT = "at the end: "
FAIL = f"""
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.location LIKE TG_ARGV[0] || '_____' THEN
    RAISE EXCEPTION 'as was wished' USING ERRCODE = right(NEW.location, 5);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON events FOR EACH ROW EXECUTE FUNCTION fail('');
CREATE CONSTRAINT TRIGGER fail_late AFTER INSERT OR UPDATE ON events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION fail('{AT_COMMIT}');
"""


@pytest.fixture
async def failing(ana: Person, other: asyncpg.Connection) -> AsyncIterator[Person]:
    """A person whose events fail with the SQLSTATE that is their location."""
    await other.execute(FAIL)
    yield ana
    await other.execute("DROP FUNCTION fail CASCADE")


@pytest.mark.parametrize("when", ["", AT_COMMIT])
async def test_what_the_server_cannot_is_unavailable(
    failing: Person, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    event = await failing.creates_event()
    for _ in range(3):
        created = {state: (await failing.tries_to_create(location=when + state)).code for state in INCAPABLE}
        changed = {state: (await failing.updates(event, location=when + state)).code for state in INCAPABLE}

        assert created == changed == dict.fromkeys(INCAPABLE, "UNAVAILABLE")

    told = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 3  # one of its disk, one of writes, one of its resources: a line for each would bury the rest
    assert "cannot be written to: as was wished" in caplog.text
    assert "Traceback" not in caplog.text
    assert await models.Event.all().count() == 1
    assert await is_whole()


async def test_a_fault_of_our_own_stays_one(failing: Person) -> None:
    assert [(await failing.tries_to_create(location=state)).code for state in OUR_FAULTS] == ["INTERNAL"] * 3


@pytest.mark.parametrize(("severity", "told"), [("ERROR", Unavailable), ("FATAL", ConnectionLost)])
async def test_with_what_ends_the_connection_nobody_knows_what_was_done(
    database: Settings, severity: str, told: type[Exception]
) -> None:
    error = asyncpg.PostgresError.new({"S": severity, "V": severity, "C": "53200", "M": "out of memory"})

    with pytest.raises(told):
        async with Tortoise.get_connection("default").acquire_connection():
            raise error


async def test_a_database_that_lets_nobody_in(
    ana: Person, anybody: Person, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    name = settings.database_url.rpartition("/")[2]
    server = await asyncpg.connect(os.environ["PLANNER_TEST_POSTGRESQL"])
    await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        reads = [(await anybody.asks("{ events { totalCount } }")).code for _ in range(5)]
        writes = [(await ana.tries_to_create()).code for _ in range(5)]
        ready = await anybody.http.get("/health/ready")
    finally:
        await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await server.close()

    assert set(reads + writes) == {"UNAVAILABLE"}
    assert ready.status_code == 503
    assert caplog.text.count("cannot be reached: ") == 1
    assert 'the database does not answer: database "' in caplog.text
    assert "is not currently accepting connections" in caplog.text
    assert "Traceback" not in caplog.text
    assert (await ana.tries_to_create()).code is None
