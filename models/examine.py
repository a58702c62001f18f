"""What an operator wants to know of a database, asked on the way that the server takes, past Tortoise. It changes
nothing: no file is made, no row is written."""

import asyncio
import sqlite3
import statistics
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from models.database import CANNOT_USE, connect, database_config, is_on_sqlite, sqlite_file, unreachable
from settings import Settings

_QUESTIONS = 5
_NEWEST = "SELECT created_at FROM events ORDER BY created_at DESC LIMIT 1"  # by its index
_APPLIED = "SELECT name FROM tortoise_migrations WHERE app = 'models'"
TABLES = (
    "users",
    "sessions",
    "refresh_tokens",
    "known_places",
    "events",
    "event_tags",
    "event_texts",
    "rsvps",
    "idempotency_keys",
)
# Of a table that is not there, neither is answered. USAGE and UPDATE each let a sequence count. CASE, since PostgreSQL
# may ask for the rights before it looks whether it is a sequence, and fails on what is none.
_RIGHTS_LACKED = """
SELECT name, wanted FROM unnest($1::text[]) name, unnest($2::text[]) wanted
WHERE NOT has_table_privilege(to_regclass(name)::oid, wanted)
"""
_SEQUENCES_LACKED = """
SELECT sequence.relname FROM unnest($1::text[]) name
JOIN pg_depend ON refobjid = to_regclass(name)::oid AND deptype = 'a'
JOIN pg_class sequence ON sequence.oid = objid
WHERE NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(sequence.oid, 'USAGE, UPDATE') END ORDER BY 1
"""


@dataclass(frozen=True)
class Database:
    """What is true of both kinds.

    `cannot_write` is the reason, else empty. `clock_ahead` is the database's clock less this machine's; None where
    the two are one. `newest` is when the newest event was made, `applied` the migrations; both empty before the first,
    and None where they may not be read.
    """

    version: str
    milliseconds: float
    cannot_write: str
    newest: datetime | None
    applied: frozenset[str] | None
    clock_ahead: timedelta | None = None


@dataclass(frozen=True)
class PostgreSQL(Database):
    """`most_connections` is how many all together may have. A pooler is whatever answers in PostgreSQL's place.

    `lacks` are the rights that `role` has not and a server needs, as GRANT and REVOKE name them.
    """

    encoding: str = ""
    most_connections: int = 0
    statement_timeout: str = ""
    is_behind_a_pooler: bool = False
    role: str = ""
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class SQLite(Database):
    """`damage` is what its own check found, else empty."""

    damage: str = ""


async def examine(settings: Settings) -> PostgreSQL | SQLite:
    """Raises DatabaseUnreachable, SettingError, and FileNotFoundError where SQLite's file is not there."""
    if is_on_sqlite(settings):
        file = sqlite_file(settings)
        if not file.exists():
            raise FileNotFoundError(file)
    try:
        if is_on_sqlite(settings):
            return await asyncio.to_thread(_sqlite, file, settings.database_wait_seconds)
        return await _postgresql(settings)
    except CANNOT_USE as error:
        raise unreachable(settings, error) from error


async def _postgresql(settings: Settings) -> PostgreSQL:
    connection = await connect(database_config(settings)["connections"]["default"]["credentials"])
    try:
        times = []
        for _ in range(_QUESTIONS):
            asked, begun = datetime.now(UTC), time.perf_counter()
            clock = await connection.fetchval("SELECT clock_timestamp()")
            times.append(time.perf_counter() - begun)
        shown = await connection.fetchrow(
            "SELECT current_setting('server_version') AS version, current_setting('server_encoding') AS encoding,"
            " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,"
            " current_setting('transaction_read_only') = 'on' AS is_read_only, pg_is_in_recovery() AS is_replica,"
            " current_setting('statement_timeout') AS statement_timeout, pg_backend_pid() AS pid,"
            " quote_ident(current_user) AS role, to_regclass('tortoise_migrations') IS NOT NULL AS is_migrated,"
            " has_table_privilege(to_regclass('events')::oid, 'SELECT') AS may_read_events,"
            " has_table_privilege(to_regclass('tortoise_migrations')::oid, 'SELECT') AS may_read_migrations"
        )
        applied: frozenset[str] | None = None if shown["is_migrated"] else frozenset()
        if shown["may_read_migrations"]:
            applied = frozenset(row["name"] for row in await connection.fetch(_APPLIED))
        reason = "it is a replica" if shown["is_replica"] else "it takes no writes" if shown["is_read_only"] else ""
        return PostgreSQL(
            version=f"PostgreSQL {shown['version'].split()[0]}",
            milliseconds=statistics.median(times) * 1000,
            cannot_write=reason,
            newest=await connection.fetchval(_NEWEST) if shown["may_read_events"] else None,
            applied=applied,
            clock_ahead=clock - asked - timedelta(seconds=times[-1] / 2),
            encoding=shown["encoding"],
            most_connections=shown["most"],
            statement_timeout=shown["statement_timeout"],
            # A pooler invents the number that it gives a client at the start.
            is_behind_a_pooler=shown["pid"] != connection.get_server_pid(),
            role=shown["role"],
            lacks=await _lacked(connection),
        )
    finally:
        await connection.close()


async def _lacked(connection: Any) -> tuple[str, ...]:
    lacked = defaultdict(list)
    for tables, rights in ((TABLES, ("SELECT", "INSERT", "UPDATE", "DELETE")), (("tortoise_migrations",), ("SELECT",))):
        for row in await connection.fetch(_RIGHTS_LACKED, tables, rights):
            lacked[row["name"]].append(row["wanted"])
    of_rights = defaultdict(list)
    for name, wanted in lacked.items():
        of_rights[", ".join(wanted)].append(name)
    sequences = [row["relname"] for row in await connection.fetch(_SEQUENCES_LACKED, TABLES)]
    told = [f"{rights} ON {', '.join(names)}" for rights, names in of_rights.items()]
    return (*told, *([f"USAGE ON SEQUENCE {', '.join(sequences)}"] if sequences else []))


def _sqlite(file: Path, wait_seconds: float) -> SQLite:
    with closing(
        sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=wait_seconds, isolation_level=None)
    ) as connection:
        times = []
        for _ in range(_QUESTIONS):
            begun = time.perf_counter()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            times.append(time.perf_counter() - begun)
        [damage] = connection.execute("PRAGMA quick_check(1)").fetchone()
        newest = connection.execute(_NEWEST).fetchone() if "events" in tables else None
        return SQLite(
            version=f"SQLite {sqlite3.sqlite_version}",
            milliseconds=statistics.median(times) * 1000,
            cannot_write=_cannot_write(connection),
            newest=_instant(newest[0]) if newest else None,
            applied=frozenset(name for (name,) in connection.execute(_APPLIED))
            if "tortoise_migrations" in tables
            else frozenset(),
            damage="" if damage == "ok" else damage,
        )


def _cannot_write(connection: sqlite3.Connection) -> str:
    try:
        connection.execute("BEGIN IMMEDIATE")  # takes the right to write, and writes nothing
    except sqlite3.OperationalError as error:
        return str(error)
    connection.rollback()
    return ""


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
