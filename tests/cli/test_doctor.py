"""Each thing that can be wrong is made so, and the doctor finds it."""

import asyncio
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from tortoise import Tortoise

from app import create_app
from auth.keys import KeyFolder
from cli.doctor import Finding, Verdict, clock, database, dotenv, explorer, keys, redis, replica, traces
from models import DatabaseUnreachable, migrate
from models.database import sqlite_file
from models.examine import TABLES, SQLite, examine
from settings import Settings
from tests.cli.conftest import Ran
from tests.collector import collecting
from tests.conftest import settings_of
from tests.people import PASSWORD, Person
from tests.pgbouncer import pgbouncer
from tests.postgresql import drop_database, new_database
from web.graphiql.package import GRAPHIQL

Planner = Callable[..., Ran]
on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def told(findings: Iterable[Finding], verdict: Verdict = Verdict.WRONG) -> str:
    return "\n".join(str(finding) for finding in findings if finding.verdict is verdict)


async def wrong_with(settings: Settings) -> str:
    """Of the database."""
    return await asyncio.to_thread(lambda: told(database(settings)))


@pytest.fixture
async def execute(settings: Settings) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    connection = await asyncpg.connect(settings.database_url)
    yield connection.execute
    await connection.close()


def test_where_all_is_right_it_says_so(planner: Planner, settings: Settings) -> None:
    ran = planner("doctor", DATABASE_URL=settings.database_url)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "WRONG" not in ran.stdout
    assert {line.split()[1] for line in ran.stdout.splitlines()} >= {"settings", "database", "migrations", "clock"}


def test_what_is_wrong_is_told_with_exit_code_1_and_the_rest_is_looked_at(planner: Planner, tmp_path: Path) -> None:
    ran = planner("doctor", DATABASE_URL=f"sqlite://{tmp_path}/x.sqlite3", KEYS_FOLDER=f"{tmp_path}/keys")

    assert (ran.returncode, ran.stderr) == (1, "")
    assert f"WRONG  database    {tmp_path}/x.sqlite3 is not there. Run planner migrate" in ran.stdout
    assert "Make the first key with planner keys new" in ran.stdout
    assert not (tmp_path / "x.sqlite3").exists()  # it changes nothing


@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        ({"PORT": "http", "LOG_LEVEL": "loud"}, "LOG_LEVEL='loud': Input should be"),
        ({"DATABASE_URL": "postgresql://ana:hush@127.0.0.1/planner?sslmode=perhaps"}, "sslmode must be disable"),
        ({"SECRET_KEY": "-----BEGIN PUBLIC KEY-----hush-----END PUBLIC KEY-----"}, "must be no key's PEM"),
    ],
    ids=["values", "address", "secret"],
)
def test_settings_that_cannot_be_used(planner: Planner, environment: dict[str, str], remedy: str) -> None:
    ran = planner("doctor", **environment)

    assert (ran.returncode, ran.stderr) == (1, "")
    assert all(line.startswith(("WRONG  settings", "note   settings")) for line in ran.stdout.splitlines())
    assert remedy in ran.stdout
    assert "hush" not in ran.stdout


def test_no_secret_is_shown(planner: Planner) -> None:
    ran = planner("doctor", DATABASE_URL="postgresql://ana:hush@127.0.0.1:1/planner", SECRET_KEY="hush" * 20)

    assert (ran.returncode, ran.stderr) == (1, "")
    assert "WRONG  database    The database 127.0.0.1:1/planner cannot be used" in ran.stdout
    assert "hush" not in ran.stdout


def test_a_dotenv_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert told(dotenv(file)) == ""
    file.touch(0o600)
    assert told(dotenv(file)) == ""

    file.chmod(0o644)

    assert f"Run chmod o= {file}" in told(dotenv(file))


async def test_migrations_that_wait(empty_database: str) -> None:
    settings = settings_of(empty_database)
    if empty_database.startswith("sqlite"):
        sqlite_file(settings).parent.mkdir()
        sqlite_file(settings).touch()

    said = await wrong_with(settings)

    assert "0001_initial, 0002_" in said
    assert "Run planner migrate" in said
    assert (await examine(settings)).applied == frozenset()


@on_sqlite
async def test_a_later_release_that_has_migrated_is_no_fault(planner: Planner, settings: Settings) -> None:
    with closing(sqlite3.connect(sqlite_file(settings))) as connection, connection:
        connection.execute(
            "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('models', '0099_x', '2030-01-01')"
        )

    ran = await asyncio.to_thread(planner, "doctor", DATABASE_URL=settings.database_url)

    assert ran.returncode == 0
    assert "note   migrations  a later release has applied 0099_x" in ran.stdout


@on_sqlite
async def test_a_database_file_that_others_can_read(settings: Settings) -> None:
    file = sqlite_file(settings)
    file.chmod(0o644)
    file.parent.chmod(0o700)
    assert await wrong_with(settings) == ""

    file.parent.chmod(0o755)

    assert f"Run chmod o= {file.parent}" in await wrong_with(settings)


@on_sqlite
async def test_a_disk_that_is_nearly_full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(sqlite_file(settings).parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=50 * 1024 * 1024))

    assert "50 MiB are free" in await wrong_with(settings)


@on_sqlite
async def test_a_damaged_file(settings: Settings, ana: Person) -> None:
    for number in range(50):
        await ana.creates_event(description=f"{number} " * 500)
    file = sqlite_file(settings)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_newest'").fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    copy = file.with_name("damaged.sqlite3")
    shutil.copy(file, copy)
    with copy.open("r+b") as damaged:
        damaged.seek((page - 1) * size + size // 2)
        damaged.write(os.urandom(size // 2))

    said = await wrong_with(settings.model_copy(update={"database_url": f"sqlite://{copy}"}))

    assert "damaged" in said or "cannot be used" in said
    assert await wrong_with(settings) == ""


@on_sqlite
async def test_who_else_keeps_the_database_from_being_written(settings: Settings) -> None:
    with closing(sqlite3.connect(sqlite_file(settings), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        said = await wrong_with(settings.model_copy(update={"database_wait_seconds": 0.1}))

    assert "cannot be written to: database is locked" in said


@on_postgresql
async def test_a_postgresql_that_takes_no_writes(settings: Settings, execute: Callable[[str], Awaitable[str]]) -> None:
    name = settings.database_url.rpartition("/")[2]
    await execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        said = await wrong_with(settings)
    finally:
        await execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')

    assert "cannot be written to: it takes no writes" in said


@pytest.fixture
async def limited(settings: Settings, execute: Callable[[str], Awaitable[str]]) -> AsyncIterator[Settings]:
    """The database by way of a user who may do nothing in it."""
    role = f"planner_limited_{os.getpid()}"
    await execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'")
    parts = urlsplit(settings.database_url)
    netloc = f"{role}:hush@{parts.netloc.rpartition('@')[2]}"
    yield settings.model_copy(update={"database_url": parts._replace(netloc=netloc).geturl()})
    await execute(f"DROP OWNED BY {role}")
    await execute(f"DROP ROLE {role}")


@on_postgresql
async def test_a_user_who_lacks_rights_can_serve_once_granted_what_it_says(
    limited: Settings, execute: Callable[[str], Awaitable[str]]
) -> None:
    said = await wrong_with(limited)
    grants = re.findall("As the owner: (GRANT .*;)", said)
    for grant in grants:
        await execute(grant)

    assert [grant.partition(" ON ")[0] for grant in grants] == [
        "GRANT SELECT, INSERT, UPDATE, DELETE",
        "GRANT SELECT",
        "GRANT USAGE",
    ]
    assert said.count("WRONG") == 3  # and nothing of migrations that it cannot see
    assert await wrong_with(limited) == ""
    app = create_app(limited)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://planner.test") as http,
    ):
        ana = Person(http, "ana")
        await ana.signs_up()
        event = await ana.creates_event(tags=["one"])
        assert (await ana.rsvps(event)).code is None
        assert (await ana.asks(f'mutation {{ deleteAccount(password: "{PASSWORD}") {{ deletedId }} }}')).code is None


@on_postgresql
async def test_a_user_who_may_only_read_is_told_the_rest(
    limited: Settings, settings: Settings, execute: Callable[[str], Awaitable[str]]
) -> None:
    role = urlsplit(limited.database_url).username
    await execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    await execute(f"GRANT ALL ON events TO {role}")

    said = await wrong_with(limited)

    assert (
        f"GRANT INSERT, UPDATE, DELETE ON {', '.join(name for name in TABLES if name != 'events')} TO {role};" in said
    )
    assert await wrong_with(settings) == ""  # the owner
    with pytest.raises(DatabaseUnreachable, match=r"permission denied .* To migrate is for the owner of the tables"):
        await migrate(limited, lambda name: None)


@pytest.mark.usefixtures("database")
async def test_the_rights_are_asked_of_every_table() -> None:
    models = Tortoise.apps["models"].values()

    assert {model._meta.db_table for model in models} == set(TABLES)


@on_postgresql
async def test_more_connections_than_there_are(settings: Settings) -> None:
    said = await wrong_with(settings.model_copy(update={"database_pool_size": 500}))

    assert "DATABASE_POOL_SIZE=500" in said
    assert "raise max_connections" in said


async def test_an_encoding_that_lacks_languages() -> None:
    server, name = os.environ["PLANNER_TEST_POSTGRESQL"], f"planner_latin_{os.getpid()}"
    url = await new_database(server, name)
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'DROP DATABASE "{name}"')
        await connection.execute(f"CREATE DATABASE \"{name}\" ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")

        assert "its encoding is SQL_ASCII" in await wrong_with(settings_of(url))
    finally:
        await connection.close()
        await drop_database(server, name)


@on_postgresql
async def test_a_pooler_that_the_settings_do_not_know_of(settings: Settings, tmp_path: Path) -> None:
    async with pgbouncer(settings.database_url, tmp_path) as address:
        behind = settings.model_copy(update={"database_url": address})
        kept = await wrong_with(behind)
        right = await wrong_with(behind.model_copy(update={"database_statement_cache": 0, "database_pool_size": 500}))
    async with pgbouncer(settings.database_url, tmp_path, without="connect_query") as address:
        unlimited = await wrong_with(settings.model_copy(update={"database_url": address}))

    assert "DATABASE_STATEMENT_CACHE is not 0" in kept
    assert right == ""
    assert "statements have no limit of time" in unlimited


def test_clocks_that_differ() -> None:
    def found(ahead: timedelta | None = None, newest: datetime | None = None) -> SQLite:
        return SQLite("", 0, "", newest=newest, applied=frozenset(), clock_ahead=ahead)

    second = timedelta(seconds=1)

    assert "60 s behind this machine's" in told(clock(found(-60 * second), NOW))
    assert "60 s ahead of this machine's" in told(clock(found(60 * second), NOW))
    assert "is of 2026-11-25 00:01:00 UTC, which is still to come" in told(clock(found(newest=NOW + 60 * second), NOW))
    assert not told(clock(found(second, NOW + second), NOW))


async def test_the_databases_clock_and_newest_event_are_read(settings: Settings, ana: Person) -> None:
    begun = datetime.now(UTC)
    await ana.creates_event()

    found = await examine(settings)

    assert found.newest is not None
    assert abs(found.newest - begun) < timedelta(seconds=5)
    assert abs(found.clock_ahead or timedelta(0)) < timedelta(seconds=1)
    assert "which is still to come" in told(clock(found, begun - timedelta(days=1)))


@pytest.fixture
def with_keys(tmp_path: Path) -> Settings:
    return settings_of("sqlite://x").model_copy(update={"keys_folder": str(tmp_path / "keys")})


def test_keys_that_cannot_be_used_or_are_open_to_all(with_keys: Settings, tmp_path: Path) -> None:
    assert "Make the first key" in told(keys(with_keys, NOW))
    kid = KeyFolder(with_keys).publish("ES256", NOW)
    assert told(keys(with_keys, NOW)) == ""
    file = tmp_path / "keys" / f"{kid}.pem"

    file.chmod(0o644)
    opened = told(keys(with_keys, NOW))
    file.write_text("no key")
    spoilt = told(keys(with_keys, NOW))

    assert f"{kid}.pem is open to every user of this machine: chmod o=" in opened
    assert f"{kid}.pem is no private key in PEM. Restore it" in spoilt


def test_which_key_signs_and_which_can_go(with_keys: Settings) -> None:
    folder = KeyFolder(with_keys)
    kid = folder.publish("ES256", NOW)
    assert told(keys(with_keys, NOW), Verdict.NOTE) == ""
    folder.use(kid, NOW, at_once=True)

    soon = told(keys(with_keys, NOW + timedelta(minutes=1)), Verdict.NOTE)
    later = told(keys(with_keys, NOW + timedelta(days=1)), Verdict.NOTE)

    assert f"{kid} signs; SECRET_KEY, {kid} verify" in told(keys(with_keys, NOW), Verdict.RIGHT)
    assert soon == ""
    assert "Run planner keys retire SECRET_KEY" in later


def test_keys_of_a_time_that_is_still_to_come(with_keys: Settings) -> None:
    folder = KeyFolder(with_keys)
    kid = folder.publish("ES256", NOW)
    folder.use(kid, NOW + timedelta(days=3 * 365), at_once=True)

    said = told(keys(with_keys, NOW), Verdict.NOTE)
    before = told(keys(with_keys, NOW - timedelta(hours=1)), Verdict.NOTE)

    assert said.splitlines() == [said]
    assert "SECRET_KEY is of 2029-11-24 00:00:00 UTC, which is still to come" in said
    assert f"{kid} is of 2026-11-25 00:00:00 UTC" in before


def test_a_redis_that_does_not_answer() -> None:
    settings = settings_of("sqlite://x")
    assert told(redis(settings.model_copy(update={"redis_url": ""}))) == ""

    said = told(redis(settings.model_copy(update={"redis_url": "redis://ana:hush@127.0.0.1:1/0"})))

    assert "127.0.0.1:1 does not answer" in said
    assert "hush" not in said


def test_a_collector_is_asked_whether_it_takes_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("sqlite://x")
    assert told(traces(settings)) == ""

    with collecting() as (url, batches):
        assert f"{url}/v1/traces takes them" in told(traces(with_(url)), Verdict.RIGHT)
        assert [len(batch.resource_spans) for batch in batches] == [0]
        assert "/elsewhere/v1/traces does not take them: it answers 404" in told(traces(with_(f"{url}/elsewhere")))
    assert f"{url}/v1/traces does not take them: [Errno 111] Connection refused" in told(traces(with_(url)))

    monkeypatch.delitem(sys.modules, "web.collector")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert "Run make otel" in told(traces(with_(url)))


def with_(traces_url: str) -> Settings:
    return settings_of("sqlite://x", traces_url=traces_url)


def test_an_explorer_without_its_files(tmp_path: Path) -> None:
    assert "Run make explorer" in told(explorer(GRAPHIQL, tmp_path))


def test_a_read_replica_that_is_none(settings: Settings) -> None:
    if settings.database_url.startswith("sqlite"):
        assert told(replica(settings), Verdict.RIGHT).endswith("none is set: the database answers all itself")
        return
    itself = settings.model_copy(update={"database_read_url": settings.database_url})
    away = settings.model_copy(update={"database_read_url": "postgresql://ana:hush@127.0.0.1:1/planner"})

    assert "it follows no server. DATABASE_READ_URL is to name one that follows" in told(replica(itself))
    assert "replica     127.0.0.1:1/planner: " in told(replica(away))
    assert "hush" not in told(replica(away))
