"""What a read replica fails to answer, the primary answers."""

from datetime import UTC, datetime

import asyncpg
import pytest

import models
from errors import Unavailable
from models.database import replica_credentials
from models.engines.asyncpg_replica import ReplicaClient
from models.reads import answered_by, query
from settings import Settings
from tests.models.engines.test_asyncpg import SLOW, end_while_running

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
NOBODY = "01900000-0000-7000-8000-000000000000"
COUNT = "SELECT count(*) AS n FROM users"


def client(database: Settings, url: str, **changes: object) -> ReplicaClient:
    changed = database.model_copy(update={"database_read_url": url, **changes})
    return ReplicaClient(connection_name="replica", **replica_credentials(changed))


@pytest.mark.parametrize("spoilt", ["nobody answers", "a table is not there yet"])
async def test_whatever_keeps_it_from_answering(database: Settings, spoilt: str) -> None:
    server, _, _ = database.database_url.rpartition("/")
    urls = {"nobody answers": "postgresql://127.0.0.1:1/planner", "a table is not there yet": f"{server}/postgres"}
    replica = client(database, urls[spoilt])
    with answered_by(replica):
        assert await query(COUNT, []) == [{"n": 0}]

    assert replica.unanswered == 1
    await replica.close()


async def test_a_connection_that_ends_under_a_statement(database: Settings) -> None:
    replica, other = client(database, database.database_url), await asyncpg.connect(database.database_url)
    with answered_by(replica):
        found = await end_while_running(other, query(SLOW, []))

    assert found[0]["slept"] == ""
    assert replica.unanswered == 1
    await other.close()
    await replica.close()


async def test_a_statement_that_took_all_its_time_is_not_asked_again(database: Settings) -> None:
    replica = client(database, database.database_url, database_statement_seconds=0.1)
    with answered_by(replica), pytest.raises(Unavailable, match="took too long"):
        await query("SELECT pg_sleep(1)::text AS slept", [])

    assert replica.unanswered == 0
    await replica.close()


async def test_who_may_in_is_not_asked_of_it(database: Settings) -> None:
    replica, now = client(database, "postgresql://127.0.0.1:1/planner"), datetime.now(UTC)
    with answered_by(replica):
        assert await models.Session.viewer(NOBODY, NOBODY, now) is None
        await models.Session.note_use(NOBODY, now, unless_since=now)

    assert replica.unanswered == 0
