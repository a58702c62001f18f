import asyncio
import random
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tortoise import Tortoise

import models
from errors import Unavailable
from models.reads import query
from settings import Settings
from tests.conftest import settings_of
from tests.people import Person


async def test_cancelled_requests_leave_the_database_whole(ana: Person) -> None:
    """Whatever moment a request is cancelled at, its connection is given back and nothing is half done."""
    chance = random.Random(7)  # noqa: S311 - no secret

    async def publish_and_perhaps_be_cancelled() -> None:
        said = models.EventInput(title="x", description="", tags=["one", "two"], location="")
        task = asyncio.ensure_future(models.Event.publish(said, creator_id=ana.id, now=datetime.now(UTC)))
        for _ in range(chance.randrange(0, 12)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() * 0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    for _ in range(6):
        await asyncio.gather(*(publish_and_perhaps_be_cancelled() for _ in range(40)))

    async with asyncio.timeout(10):
        await asyncio.gather(*(ana.creates_event(tags=["one", "two"]) for _ in range(30)))
    events = (await query("SELECT count(*) AS n FROM events", []))[0]["n"]
    tags = (await query("SELECT count(*) AS n FROM event_tags", []))[0]["n"]
    assert events >= 30
    assert tags == 2 * events
    pool = getattr(Tortoise.get_connection("default"), "_pool", None)
    if pool is not None:
        assert pool.free == pool.size


async def test_cancelled_http_requests_leave_the_database_whole(ana: Person) -> None:
    """The same of whole requests: the token's session, the transaction and the read that shapes the answer."""
    chance = random.Random(11)  # noqa: S311 - no secret

    async def create_and_perhaps_be_cancelled() -> None:
        task = asyncio.ensure_future(ana.tries_to_create(tags=["one", "two"]))
        await asyncio.sleep(chance.random() * 0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    for _ in range(6):
        await asyncio.gather(*(create_and_perhaps_be_cancelled() for _ in range(20)))

    async with asyncio.timeout(10):
        await asyncio.gather(*(ana.creates_event(tags=["one", "two"]) for _ in range(30)))
    events = (await query("SELECT count(*) AS n FROM events", []))[0]["n"]
    assert events >= 30
    assert (await query("SELECT count(*) AS n FROM event_tags", []))[0]["n"] == 2 * events
    pool = getattr(Tortoise.get_connection("default"), "_pool", None)
    if pool is not None:
        assert pool.free == pool.size


async def test_a_full_pool_is_unavailable_after_a_bounded_wait(migrated: dict[str, Settings]) -> None:
    """PostgreSQL alone: SQLite has one connection, which nobody holds for longer than a statement."""
    settings = migrated["postgresql"]
    await models.open_database(settings.model_copy(update={"database_pool_size": 1, "database_wait_seconds": 0.2}))
    try:
        async with Tortoise.get_connection("default").acquire_connection():
            with pytest.raises(Unavailable):
                await query("SELECT 1 AS one", [])
        assert await query("SELECT 1 AS one", []) == [{"one": 1}]
    finally:
        await models.close_database()


async def test_an_unreachable_database_is_told_in_one_line() -> None:
    with pytest.raises(models.DatabaseUnreachable) as told:
        await models.open_database(settings_of("postgresql://ana:hush@127.0.0.1:1/planner"))

    assert "127.0.0.1:1/planner" in str(told.value)
    assert "hush" not in str(told.value)
    assert "\n" not in str(told.value)


async def test_an_unreachable_file_is_told_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(models.DatabaseUnreachable, match=r"^The database /.*/file/x\.sqlite3 cannot be used: "):
        await models.open_database(settings_of(f"sqlite://{tmp_path}/file/x.sqlite3"))
    with pytest.raises(models.DatabaseUnreachable, match=r"^The database /.*/LICENSE/x cannot be used: "):
        await models.open_database(settings_of("sqlite://LICENSE/x"))


async def test_a_database_without_tables_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(models.DatabaseUnreachable, match="no such table: users"):
        await models.open_database(settings_of(f"sqlite://{tmp_path}/new/x.sqlite3"))


async def test_the_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    await models.migrate(settings_of(f"sqlite://{tmp_path}/var/x.sqlite3"), lambda name: None)
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    await models.migrate(settings_of(f"sqlite://{there}/x.sqlite3"), lambda name: None)

    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700
    assert stat.S_IMODE(there.stat().st_mode) == 0o755
