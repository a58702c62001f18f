"""Brings the tables to this version's form: the files of models/migrations, each once, by one process at a time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import asyncpg
from tortoise import Model, Tortoise
from tortoise.exceptions import OperationalError
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.migration import Migration
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor import BaseSchemaEditor, SqliteSchemaEditor
from tortoise.migrations.schema_generator.state import State
from tortoise.transactions import in_transaction

from models.database import CANNOT_USE, close_database, connect, database_config, make_folder, sqlite_file, unreachable
from models.reads import query
from settings import Settings

_LOCK = 7_023_412_986_117  # any number that nothing else in the database locks


async def migrate(settings: Settings, progress: Callable[[str], None]) -> None:
    """Applies what is pending, once, also when several processes ask at the same time.

    `progress` hears of each migration applied. Raises DatabaseUnreachable.
    """

    try:
        async with _alone(settings):
            await (await _executor(settings)).apply_pending(progress)
    except CANNOT_USE as error:
        raise unreachable(settings, error) from error
    except OperationalError as error:
        if isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
            raise unreachable(settings, error) from error
        raise  # a fault of the migration's
    finally:
        await close_database()


async def pending_migrations(settings: Settings) -> list[str]:
    """The names of those that `migrate` would apply. Raises DatabaseUnreachable."""
    try:
        return [step.migration.name for step in await (await _executor(settings)).plan()]
    except CANNOT_USE as error:
        raise unreachable(settings, error) from error
    finally:
        await close_database()


async def _executor(settings: Settings) -> "_Migrations":
    config = database_config(settings)
    connection = config["connections"]["default"]
    if connection["engine"].endswith("sqlite"):
        make_folder(settings)
        # With foreign keys on, the DROP TABLE by which SQLite changes a table would delete the rows that point to it.
        connection["credentials"]["foreign_keys"] = "OFF"
    for limit in ("server_settings", "command_timeout"):
        connection["credentials"].pop(limit, None)  # a migration may take longer than a request may
    await Tortoise.init(config=config)
    try:
        await query("SELECT 1 AS one", [])  # Tortoise's recorder takes whatever goes wrong for "nothing is applied yet"
    except OperationalError as error:  # of a migration, it would be a fault
        raise unreachable(settings, error) from error
    return _Migrations(Tortoise.get_connection("default"), config["apps"])


class _Migrations(MigrationExecutor):
    async def apply_pending(self, progress: Callable[[str], None]) -> None:
        """As Tortoise's `migrate` does, but that a migration and the row that says so are one transaction: whatever
        happens in between, the two agree."""
        await self.loader.build_graph()
        await self.recorder.ensure_schema(self._schema_editor(atomic=False))
        applied = set(await self.recorder.applied_migrations())
        state = await self._project_state(applied)
        for step in self._migration_plan(None, applied, self.loader.graph):
            await self._apply(step.migration, state)
            progress(step.migration.name)

    async def _apply(self, migration: Migration, state: State) -> None:
        """Takes the state along."""
        editor = self._schema_editor(migration.atomic)
        is_one = editor.atomic_migration
        async with in_transaction() if is_one else nullcontext(editor.client) as editor.client:
            await migration.apply(state, schema_editor=editor)
            await MigrationRecorder(editor.client).record_applied(migration.app_label, migration.name)

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        editor = super()._schema_editor(atomic, collect_sql)
        if isinstance(editor, SqliteSchemaEditor):
            return IndexKeepingEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return editor


class IndexKeepingEditor(SqliteSchemaEditor):
    """Tortoise changes a table of SQLite by copying it, and the copy has no indexes: here they are made again."""

    async def _remake_table(self, model: type[Model], *args: Any, **changes: Any) -> None:
        kept = await self._indexes(model._meta.db_table, without=changes.get("delete_field"))
        await super()._remake_table(model, *args, **changes)
        for index in kept:
            await self._run_sql(index)

    async def _indexes(self, table: str, without: Any) -> list[str]:
        named = await self.client.execute_query_dict(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL AND tbl_name = ?", [table]
        )
        gone = without and (without.source_field or without.model_field_name)
        kept = []
        for index in named:
            columns = await self.client.execute_query_dict("SELECT name FROM pragma_index_info(?)", [index["name"]])
            if gone not in {column["name"] for column in columns}:
                kept.append(index["sql"])
        return kept


def _alone(settings: Settings) -> AbstractAsyncContextManager[None]:
    connection = database_config(settings)["connections"]["default"]
    if connection["engine"].endswith("sqlite"):
        make_folder(settings)
        return _alone_on_sqlite(sqlite_file(settings))
    return _alone_on_postgresql(connection["credentials"])


@asynccontextmanager
async def _alone_on_postgresql(credentials: dict[str, Any]) -> AsyncIterator[None]:
    # On a connection of its own: Tortoise's come from a pool, and the lock belongs to one.
    # Without the limits of time that a request has: another machine may migrate for as long as it needs.
    connection = await connect({**credentials, "command_timeout": None, "server_settings": None})
    try:
        # Of a transaction, and not of the connection: behind PgBouncer that one goes on, and would keep the lock.
        async with connection.transaction():
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await connection.execute("SET LOCAL lock_timeout = 0")
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def _alone_on_sqlite(file: Path) -> AsyncIterator[None]:
    # A database beside it serves as the lock, since the migrations take and leave the real one's many times over.
    # The system frees it when the process dies.
    lock = await asyncio.to_thread(
        sqlite3.connect, f"{file}.migrating", timeout=60, isolation_level=None, check_same_thread=False
    )
    try:
        await asyncio.to_thread(lock.execute, "BEGIN EXCLUSIVE")
        yield
    finally:
        lock.close()
