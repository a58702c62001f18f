import asyncio
import sys

import typer

import models
from settings import read_settings


def migrate() -> None:
    """Bring the database to this version's form. Safe to repeat, and to run from several machines at once."""
    settings, applied = read_settings(), list[str]()
    waiting = asyncio.run(models.pending_migrations(settings))
    hidden = not (waiting and sys.stderr.isatty())  # a log wants no bar
    with typer.progressbar(length=len(waiting), label="Migrating", file=sys.stderr, hidden=hidden) as bar:

        def progress(name: str) -> None:
            applied.append(name)
            bar.update(1)

        asyncio.run(models.migrate(settings, progress))
    typer.echo(f"Migrated: {', '.join(applied)}." if applied else "The database is up to date.")
