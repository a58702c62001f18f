"""A database of the run's own, migrated and filled, on PostgreSQL or SQLite, and thrown away at the end."""

import asyncio
import json
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

import models
from settings import Settings
from tests.postgresql import drop_database, find_server, new_database

Record = tuple[Any, ...]
_MIGRATION = import_module("models.migrations.0003_search")


@dataclass(frozen=True)
class Records:
    """Rows for a table, their columns with blanks between."""

    table: str
    columns: str
    rows: list[Record]


Rows = Callable[[str], Iterator[Iterable[Records]]]  # for a dialect: "postgres" or "sqlite"


@dataclass(frozen=True)
class Database:
    name: str
    url: str
    said: str

    @property
    def is_postgresql(self) -> bool:
        return self.name == "postgresql"

    async def execute(self, *statements: str) -> None:
        if self.is_postgresql:
            connection = await asyncpg.connect(self.url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()
        else:
            await asyncio.to_thread(self._execute_on_sqlite, statements)

    async def settle(self) -> None:
        """Does now what the database would do by itself in the middle of a round."""
        if self.is_postgresql:
            await self.execute("VACUUM ANALYZE", "CHECKPOINT")
        else:
            await self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _execute_on_sqlite(self, statements: Iterable[str]) -> None:
        with closing(sqlite3.connect(self.url.removeprefix("sqlite://"), isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()


@asynccontextmanager
async def _postgresql(rows: Rows) -> AsyncIterator[Database]:
    server, where, stop = await asyncio.to_thread(find_server)
    name = f"planner_bench_{os.getpid()}"
    try:
        url = await new_database(server, name, waits_for_the_disk=True)
        await _migrate(url)
        connection = await asyncpg.connect(url)
        try:
            for statement in _MIGRATION.OFF_POSTGRESQL:  # built at the end, a GIN index takes a tenth of the time
                await connection.execute(statement)
            for batch in rows("postgres"):
                for each in batch:
                    columns = each.columns.split()
                    await connection.copy_records_to_table(each.table, columns=columns, records=each.rows)
            for statement in (*_MIGRATION.ON_POSTGRESQL, "VACUUM ANALYZE"):
                await connection.execute(statement)
            version = await connection.fetchval("SHOW server_version")
        finally:
            await connection.close()
        yield Database("postgresql", url, f"PostgreSQL {version.partition(' ')[0]} ({where})")
    finally:
        await drop_database(server, name)
        stop()


@asynccontextmanager
async def _sqlite(rows: Rows) -> AsyncIterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "planner.sqlite3"
        await _migrate(f"sqlite://{file}")
        await asyncio.to_thread(_fill_sqlite, file, rows)
        yield Database("sqlite", f"sqlite://{file}", f"SQLite {sqlite3.sqlite_version}")


def _fill_sqlite(file: Path, rows: Rows) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in ("PRAGMA synchronous = OFF", *_MIGRATION.OFF_SQLITE, "BEGIN"):
            connection.execute(statement)
        for batch in rows("sqlite"):
            for each in batch:
                columns = each.columns.split()
                into = f"INSERT INTO {each.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
                connection.executemany(into, ([_as_sqlite_keeps_it(value) for value in row] for row in each.rows))
        for statement in ("COMMIT", *_MIGRATION.ON_SQLITE):
            connection.execute(statement)


def _as_sqlite_keeps_it(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, UUID) else value


async def _migrate(url: str) -> None:
    await models.migrate(Settings(_env_file=None, secret_key="-" * 32, database_url=url), lambda _: None)


DATABASES: dict[str, Callable[[Rows], AbstractAsyncContextManager[Database]]] = {
    "postgresql": _postgresql,
    "sqlite": _sqlite,
}
