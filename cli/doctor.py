"""planner doctor: whether what a server needs is there. It changes nothing, and shows no secret."""

import asyncio
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import typer
from redis import Redis, RedisError

from auth.keys import Key, KeyFolder
from auth.rotation import Manifest, told
from auth.tokens import longest_life
from models import DatabaseUnreachable
from models.database import (
    CANNOT_USE,
    database_config,
    is_on_sqlite,
    place_of,
    replica_credentials,
    sqlite_file,
    told_place,
)
from models.examine import Database, PostgreSQL, SQLite, examine
from models.replica import NoReplica, ReadReplica
from settings import ROOT, SettingError, Settings, read_settings
from web.graphiql.package import FOLDER, GRAPHIQL, Package

CLOCKS_DIFFER = timedelta(seconds=5)  # access tokens bear 30 between two servers
LEAST_FREE_BYTES = 100 * 1024 * 1024


class Verdict(StrEnum):
    RIGHT = "right"
    NOTE = "note"  # nothing fails for it
    WRONG = "WRONG"


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what is to be said of it: for what is not right, also what to do."""

    verdict: Verdict
    about: str
    said: str

    def __str__(self) -> str:
        return f"{self.verdict:5}  {self.about:10}  {self.said}"


def right(about: str, said: str) -> Finding:
    return Finding(Verdict.RIGHT, about, said)


def note(about: str, said: str) -> Finding:
    return Finding(Verdict.NOTE, about, said)


def wrong(about: str, said: str) -> Finding:
    return Finding(Verdict.WRONG, about, said)


def doctor() -> None:
    """Look at all that a server needs, and say what to do about what is not right: then the exit code is 1."""
    some_are_wrong = False
    for finding in findings():
        typer.echo(finding)
        some_are_wrong |= finding.verdict is Verdict.WRONG
    if some_are_wrong:
        sys.exit(1)


def findings() -> Iterator[Finding]:
    """Each as soon as it is known."""
    try:
        settings = read_settings()
        database_config(settings)
        if settings.database_read_url:
            replica_credentials(settings)
        Key.of_secret(settings.secret_key)
    except SettingError as error:
        yield from (wrong("settings", line) for line in str(error).splitlines())
        yield note("settings", "the rest was not looked at, since it depends on them")
        return
    yield right("settings", f"{len(Settings.model_fields)} of them can be used")
    yield from dotenv(ROOT / ".env")
    yield from database(settings)
    yield from replica(settings)
    yield from redis(settings)
    yield from traces(settings)
    yield from keys(settings, datetime.now(UTC))
    yield from explorer(GRAPHIQL, FOLDER)


def dotenv(file: Path) -> Iterator[Finding]:
    if not file.exists():
        yield right(".env", "there is none: the environment says it all")
    elif file.stat().st_mode & 0o007:
        yield wrong(".env", f"every user of this machine can read the secret in it. Run chmod o= {file}")
    else:
        yield right(".env", "its owner's, or its group's, alone")


def database(settings: Settings) -> Iterator[Finding]:
    if is_on_sqlite(settings):
        yield from sqlite_files(sqlite_file(settings))
    try:
        found = asyncio.run(examine(settings))
    except FileNotFoundError:
        yield wrong("database", f"{told_place(settings)} is not there. Run planner migrate, which makes it")
        return
    except DatabaseUnreachable as error:
        yield wrong("database", str(error))
        return
    yield right("database", f"{found.version} at {told_place(settings)}, {found.milliseconds:.1f} ms a question")
    if found.cannot_write:
        yield wrong("database", f"it cannot be written to: {found.cannot_write}. Find out who keeps it from that")
    yield from kept_by_sqlite(found) if isinstance(found, SQLite) else kept_by_postgresql(found, settings)
    yield from migrations(found)
    yield from clock(found, datetime.now(UTC))


def sqlite_files(file: Path) -> Iterator[Finding]:
    if not file.exists():
        return
    folder, size = file.parent, file.stat().st_size
    parts = [file.with_name(file.name + end) for end in ("", "-wal", "-shm")]
    if folder.stat().st_mode & 0o001 and any(part.stat().st_mode & 0o006 for part in parts if part.exists()):
        yield wrong("files", f"every user of this machine can read {file}. Run chmod o= {folder}")
    else:
        yield right("files", "the database is its owner's, or its group's, alone")
    free = shutil.disk_usage(folder).free
    if free < max(LEAST_FREE_BYTES, size):
        yield wrong(
            "disk",
            f"{_megabytes(free)} are free in {folder}, and the database has {_megabytes(size)}: a migration and a "
            "backup each write as much again. Make room",
        )
    else:
        yield right("disk", f"{_megabytes(free)} are free in {folder}")


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.0f} MiB"


def kept_by_sqlite(found: SQLite) -> Iterator[Finding]:
    if found.damage:
        yield wrong("database", f"the file is damaged: {found.damage}. Restore a backup (docs/operations.md)")


def kept_by_postgresql(found: PostgreSQL, settings: Settings) -> Iterator[Finding]:
    for lack in found.lacks:
        yield wrong(
            "database",
            f"{found.role} lacks rights, and what needs them is INTERNAL. As the owner: GRANT {lack} TO {found.role};",
        )
    if found.encoding != "UTF8":
        yield wrong("database", f"its encoding is {found.encoding}, which lacks most languages. Make one with UTF8")
    if found.is_behind_a_pooler and settings.database_statement_cache:
        yield wrong(
            "pooler",
            "a pooler answers in PostgreSQL's place, and DATABASE_STATEMENT_CACHE is not 0. Set it to 0, as a pooler "
            "such as PgBouncer in transaction mode needs it",
        )
    if found.statement_timeout == "0":
        yield wrong(
            "pooler",
            "statements have no limit of time: the pooler drops what DATABASE_STATEMENT_SECONDS asks for. Have its "
            "connect_query set it (docs/operations.md)",
        )
    if not found.is_behind_a_pooler and settings.database_pool_size > found.most_connections:
        yield wrong(
            "database",
            f"DATABASE_POOL_SIZE={settings.database_pool_size}, for each process, and PostgreSQL takes "
            f"{found.most_connections} from all together. Lower it, or raise max_connections there",
        )


def migrations(found: Database) -> Iterator[Finding]:
    if found.applied is None:  # and which right that takes is told
        return
    known = {file.stem for file in (ROOT / "models" / "migrations").glob("[0-9]*.py")}
    if pending := sorted(known - found.applied):
        yield wrong("migrations", f"{', '.join(pending)} must be applied. Run planner migrate")
    elif later := sorted(found.applied - known):
        yield note("migrations", f"a later release has applied {', '.join(later)}. Bring this one up to it soon")
    else:
        yield right("migrations", f"all {len(known)} are applied")


def clock(found: Database, now: datetime) -> Iterator[Finding]:
    ahead = found.clock_ahead
    if ahead is not None and abs(ahead) > CLOCKS_DIFFER:
        seconds = abs(ahead).total_seconds()
        yield wrong(
            "clock",
            f"the database's is {seconds:,.0f} s {'ahead of' if ahead > timedelta(0) else 'behind'} this machine's. "
            "Set both by NTP",
        )
    elif found.newest is not None and found.newest - now > CLOCKS_DIFFER:
        yield wrong("clock", f"the newest event is of {told(found.newest)}, which is still to come. Set it by NTP")
    else:
        yield right("clock", "it goes with the database")


def replica(settings: Settings) -> Iterator[Finding]:
    if not settings.database_read_url:
        yield right("replica", "none is set: the database answers all itself")
        return
    where = place_of(settings.database_read_url)
    try:
        behind = asyncio.run(ReadReplica(settings).bytes_behind())
    except (*CANNOT_USE, NoReplica) as problem:
        said = " ".join(str(problem).split()) or type(problem).__name__
        yield wrong("replica", f"{where}: {said}. DATABASE_READ_URL is to name one that follows DATABASE_URL's server")
        return
    yield right("replica", f"{where} is {_megabytes(behind)} of log behind")


def redis(settings: Settings) -> Iterator[Finding]:
    if not settings.redis_url:
        yield right("Redis", "none is set, and one process needs none")
        return
    parts = urlsplit(settings.redis_url)
    where = f"{parts.hostname}:{parts.port or 6379}"
    begun = datetime.now(UTC)
    try:
        with Redis.from_url(settings.redis_url, socket_timeout=3, socket_connect_timeout=3) as connection:
            connection.ping()
    except (RedisError, OSError, ValueError) as error:
        yield wrong("Redis", f"{where} does not answer ({type(error).__name__}). Is it running, and REDIS_URL right?")
        return
    yield right("Redis", f"{where} answers in {(datetime.now(UTC) - begun).total_seconds() * 1000:.1f} ms")


def traces(settings: Settings) -> Iterator[Finding]:
    if not settings.traces_url:
        yield right("traces", "none are sent")
        return
    try:
        from web.collector import Collector
    except ModuleNotFoundError as error:
        yield wrong("traces", f"TRACES_URL needs {error.name}, which is not installed. Run make otel")
        return
    collector = Collector(settings.traces_url)
    if problem := collector.refuses():
        yield wrong(
            "traces", f"{collector.url} does not take them: {problem}. Is the collector running, and TRACES_URL right?"
        )
    else:
        yield right("traces", f"{collector.url} takes them")


def keys(settings: Settings, now: datetime) -> Iterator[Finding]:
    if not settings.keys_folder:
        yield right("keys", "SECRET_KEY signs")
        return
    folder = KeyFolder(settings)
    with _warnings_of("planner.auth") as warnings:
        try:
            folder.ring()
        except SettingError as error:
            yield from (wrong("keys", line) for line in str(error).splitlines())
            return
    yield from (wrong("keys", warning) for warning in warnings)
    manifest = folder.manifest()
    yield right("keys", f"{manifest.signing} signs; {', '.join(manifest.keys)} verify")
    yield from still_to_come(manifest, now)
    yield from retirable(manifest, longest_life(settings), now)


def still_to_come(manifest: Manifest, now: datetime) -> Iterator[Finding]:
    for name, entry in manifest.keys.items():
        latest = max(entry.published_at, entry.signed_until or entry.published_at)
        if latest - now > CLOCKS_DIFFER:
            yield note(
                "keys",
                f"{name} is of {told(latest)}, which is still to come: this clock is behind, or planner keys' was "
                "ahead. Set both by NTP; until then planner keys may refuse to use or to retire it, but with --now",
            )


def retirable(manifest: Manifest, life: timedelta, now: datetime) -> Iterator[Finding]:
    for name, entry in manifest.keys.items():
        if entry.signed_until and manifest.retirable_at(name, life) <= now:
            yield note("keys", f"{name} has no token left to verify. Run planner keys retire {name}")


@contextmanager
def _warnings_of(logger: str) -> Iterator[list[str]]:
    heard: list[str] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    hearing, log = Hearing(), logging.getLogger(logger)
    log.addHandler(hearing)
    try:
        yield heard
    finally:
        log.removeHandler(hearing)


def explorer(package: Package, folder: Path) -> Iterator[Finding]:
    if package.is_in(folder):
        yield right("GraphiQL", f"version {package.version} is there")
    else:
        yield wrong("GraphiQL", "its files are not there: the API works, and its page does not. Run make explorer")
