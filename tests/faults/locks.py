"""Somebody else who holds the database, so that whoever writes waits."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import asyncpg

from models.database import is_on_sqlite, sqlite_file
from settings import Settings


@asynccontextmanager
async def nobody_writes(settings: Settings) -> AsyncIterator[None]:
    """In here no event is written; nor, on PostgreSQL, read."""
    if is_on_sqlite(settings):
        with closing(sqlite3.connect(sqlite_file(settings), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE events")
            yield
    finally:
        await connection.close()
