import asyncio

import typer

import models
from settings import read_settings


def migrate() -> None:
    """Bring the database to this version's form. Safe to repeat, and to run from several machines at once."""
    applied: list[str] = []
    asyncio.run(models.migrate(read_settings(), applied.append))
    typer.echo(f"Migrated: {', '.join(applied)}." if applied else "The database is up to date.")
