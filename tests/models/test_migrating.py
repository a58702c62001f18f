import asyncio
import multiprocessing
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tortoise.exceptions import IntegrityError

import models
from models import database, migrating
from models.reads import query
from settings import ROOT, Settings
from tests.conftest import settings_of
from tests.postgresql import drop_database, new_database

MIGRATIONS = sorted(file.stem for file in (ROOT / "models" / "migrations").glob("0*.py"))
NEXT_VERSION = f'''
from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "{MIGRATIONS[-1]}")]
    operations = [
        ops.AlterField("Event", "location", fields.CharField(max_length=400)),
        ops.RemoveField("Event", "capacity"),
        ops.AddField("Event", "seats", fields.IntField(default=5, db_default=5)),
        ops.AddField("User", "note", fields.TextField(null=True)),
    ]
'''


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


def _migrate(url: str) -> list[str]:
    applied: list[str] = []
    asyncio.run(models.migrate(settings_of(url), applied.append))
    return applied


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, from which `models.migrate` takes the migrations."""
    folder = tmp_path / "some_migrations"
    folder.mkdir()
    (folder / "__init__.py").touch()
    real = database.database_config

    def config(settings: Settings) -> dict[str, Any]:
        changed = real(settings)
        changed["apps"]["models"]["migrations"] = folder.name
        return changed

    monkeypatch.setattr(migrating, "database_config", config)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == folder.name]:
        del sys.modules[name]


SLOW = f"""
from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "{MIGRATIONS[-1]}")]
    operations = [ops.RunSQL("SELECT pg_sleep(1.5)")]
"""


@pytest.mark.parametrize("empty", ["postgresql"], indirect=True)
async def test_a_migration_may_take_longer_than_a_request(empty: Settings, versions: Path) -> None:
    await migrate_with(versions, empty, MIGRATIONS)
    (versions / "9999_slow.py").write_text(SLOW)
    # Of both limits: PostgreSQL's own, and the one by which silence is noticed, their sum.
    hurried = empty.model_copy(update={"database_statement_seconds": 0.1, "database_wait_seconds": 1})
    applied: list[str] = []

    await models.migrate(hurried, applied.append)

    assert applied == ["9999_slow"]


async def test_a_migration_that_cannot_be_noted_is_not_applied(empty: Settings, versions: Path) -> None:
    """As where the process is killed before it notes what it has done: the next one does it again."""
    await migrate_with(versions, empty, MIGRATIONS[:1])
    await ask(empty, "CREATE UNIQUE INDEX one_alone ON tortoise_migrations (app)")
    with pytest.raises(IntegrityError):
        await migrate_with(versions, empty, MIGRATIONS)
    await ask(empty, "DROP INDEX one_alone")

    await migrate_with(versions, empty, MIGRATIONS)

    assert await models.pending_migrations(empty) == []


async def test_every_later_version_takes_the_data_along(empty: Settings, versions: Path) -> None:
    """From the first version, in place, to today's and to one that changes columns.

    Without our editor Tortoise 1.1.9 loses indexes on SQLite, and with foreign keys on the rows that point to them.
    """
    await migrate_with(versions, empty, MIGRATIONS[:1])
    await fill_first_version(empty)
    before = await everything(empty)

    await migrate_with(versions, empty, MIGRATIONS)
    (versions / "9999_next.py").write_text(NEXT_VERSION)
    await models.migrate(empty, lambda name: None)

    after = await everything(empty)
    assert before["indexes"] - after["indexes"] == replaced(empty)
    assert {**after, "indexes": None} == {**before, "indexes": None}
    event = {"location": "Google Meet", "seats": 5, "status": "SCHEDULED", "title_key": "fastapi 책", "version": 1}
    assert await ask(empty, "SELECT location, seats, status, title_key, version FROM events") == [event] * 3
    assert await ask(empty, "SELECT count(*) AS n FROM events WHERE starts_key = starts_at") == [{"n": 2}]
    assert await ask(empty, "SELECT title, tags FROM event_texts") == [{"title": "fastapi 책", "tags": "one\ntwo"}] * 3
    assert await ask(empty, "SELECT note FROM users") == [{"note": None}]
    if empty.database_url.startswith("sqlite"):
        assert await ask(empty, "PRAGMA foreign_key_check") == []


def replaced(settings: Settings) -> set[str]:
    """The indexes that a later version has done away with."""
    if settings.database_url.startswith("sqlite"):
        return set()
    return {"CREATE UNIQUE INDEX ON public.event_tags USING btree (id)"}  # 0006


async def migrate_with(versions: Path, settings: Settings, names: list[str]) -> None:
    for name in names:
        shutil.copy(ROOT / "models" / "migrations" / f"{name}.py", versions)
    await models.migrate(settings, lambda name: None)


async def fill_first_version(settings: Settings) -> None:
    now, soon = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, 12, tzinfo=UTC)
    user = uuid4()
    await ask(
        settings,
        "INSERT INTO users (id, email, email_key, username, username_key, password_hash, created_at)"
        " VALUES (?, 'a@test.com', 'a@test.com', 'a', 'a', 'x', ?)",
        [user, now],
    )
    for starts_at in (soon, soon, None):
        event = uuid4()
        tags: Any = '["one", "two"]' if settings.database_url.startswith("sqlite") else ["one", "two"]
        await ask(
            settings,
            "INSERT INTO events (id, creator_id, title, description, tags, location, starts_at, created_at, updated_at)"
            " VALUES (?, ?, 'FastAPI 책', '', ?, 'Google Meet', ?, ?, ?)",
            [event, user, tags, starts_at, now, now],
        )
        for tag in ("one", "two"):
            await ask(settings, "INSERT INTO event_tags (event_id, key) VALUES (?, ?)", [event, tag])


async def everything(settings: Settings) -> dict[str, Any]:
    """How many rows each of the first version's tables has, and what all indexes are of: on SQLite their names."""
    names = "SELECT name FROM sqlite_master WHERE type = 'index'"
    if not settings.database_url.startswith("sqlite"):
        nameless = r"regexp_replace(indexdef, 'INDEX \S+ ON', 'INDEX ON')"
        names = f"SELECT {nameless} AS name FROM pg_indexes WHERE schemaname = 'public'"  # noqa: S608 - written here
    tables = ("users", "events", "event_tags")
    counts = {table: (await ask(settings, f"SELECT count(*) AS n FROM {table}"))[0]["n"] for table in tables}  # noqa: S608
    return {**counts, "indexes": {row["name"] for row in await ask(settings, names)}}


async def ask(settings: Settings, sql: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    await models.open_database(settings)
    try:
        return await query(sql, values or [])
    finally:
        await models.close_database()
