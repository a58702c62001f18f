import asyncio
import multiprocessing
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import models
from models import database, migrating
from models.reads import query
from settings import ROOT, Settings
from tests.conftest import settings_of
from tests.postgresql import drop_database, new_database

NEXT_VERSION = """
from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0001_initial")]
    operations = [
        ops.AlterField("Event", "location", fields.CharField(max_length=400)),
        ops.RemoveField("Event", "capacity"),
        ops.AddField("Event", "seats", fields.IntField(default=5, db_default=5)),
        ops.AddField("User", "note", fields.TextField(null=True)),
    ]
"""


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings with an empty database, without tables."""
    if request.param == "sqlite":
        yield settings_of(f"sqlite://{tmp_path}/new.sqlite3")
        return
    server, name = os.environ["PLANNER_TEST_POSTGRESQL"], f"planner_migrating_{os.getpid()}"
    yield settings_of(await new_database(server, name))
    await drop_database(server, name)


async def test_many_migrate_at_once_and_each_migration_runs_once(empty: Settings) -> None:
    assert await models.pending_migrations(empty) == MIGRATIONS
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        applied = await asyncio.to_thread(pool.map, _migrate, [empty.database_url] * 4)

    assert sorted(applied) == [[], [], [], MIGRATIONS]
    assert await models.pending_migrations(empty) == []


MIGRATIONS = sorted(file.stem for file in (ROOT / "models" / "migrations").glob("0*.py"))


def _migrate(url: str) -> list[str]:
    applied: list[str] = []
    asyncio.run(models.migrate(settings_of(url), applied.append))
    return applied


@pytest.fixture
def first_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of migrations that holds the first alone, and that `models.migrate` takes."""
    folder = tmp_path / "old_migrations"
    folder.mkdir()
    (folder / "__init__.py").touch()
    shutil.copy(ROOT / "models" / "migrations" / "0001_initial.py", folder)
    real = database.database_config

    def config(settings: Settings) -> dict[str, Any]:
        changed = real(settings)
        changed["apps"]["models"]["migrations"] = "old_migrations"
        return changed

    monkeypatch.setattr(migrating, "database_config", config)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "old_migrations"]:
        del sys.modules[name]


SLOW = """
from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0001_initial")]
    operations = [ops.RunSQL("SELECT pg_sleep(0.4)")]
"""


@pytest.mark.parametrize("empty", ["postgresql"], indirect=True)
async def test_a_migration_may_take_longer_than_a_request(empty: Settings, first_version: Path) -> None:
    (first_version / "0002_slow.py").write_text(SLOW)
    hurried = empty.model_copy(update={"database_statement_seconds": 0.1})
    applied: list[str] = []

    await models.migrate(hurried, applied.append)

    assert applied[-1] == "0002_slow"


async def test_a_later_version_takes_the_data_along(empty: Settings, first_version: Path) -> None:
    """Without our editor Tortoise 1.1.9 loses indexes on SQLite, and with foreign keys on the rows that point here."""
    await models.migrate(empty, lambda name: None)
    before = await fill(empty)
    (first_version / "0002_next.py").write_text(NEXT_VERSION)

    await models.migrate(empty, lambda name: None)

    await models.open_database(empty)
    try:
        assert await everything(empty) == before
        assert await query("SELECT location, seats FROM events", []) == [{"location": "Google Meet", "seats": 5}] * 3
        assert await query("SELECT note FROM users", []) == [{"note": None}]
        if empty.database_url.startswith("sqlite"):
            assert await query("PRAGMA foreign_key_check", []) == []
    finally:
        await models.close_database()


async def fill(settings: Settings) -> dict[str, Any]:
    now = datetime.now(UTC)
    await models.open_database(settings)
    try:
        user = await models.User.create(
            email="a@test.com", email_key="a@test.com", username="a", username_key="a", password_hash="", created_at=now
        )
        for _ in range(3):
            said = models.EventInput(title="x", description="", tags=["one", "two"], location="Google Meet")
            await models.Event.publish(said, creator_id=str(user.id), now=now)
        return await everything(settings)
    finally:
        await models.close_database()


async def everything(settings: Settings) -> dict[str, Any]:
    """How many rows each table has, and the names of all indexes."""
    names = "SELECT name FROM sqlite_master WHERE type = 'index'"
    if not settings.database_url.startswith("sqlite"):
        names = "SELECT indexname AS name FROM pg_indexes WHERE schemaname = 'public'"
    tables = ("users", "events", "event_tags")
    counts = {table: (await query(f"SELECT count(*) AS n FROM {table}", []))[0]["n"] for table in tables}  # noqa: S608
    return {**counts, "indexes": {row["name"] for row in await query(names, [])}}
