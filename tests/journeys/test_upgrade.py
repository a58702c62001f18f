"""A rolling upgrade: the later release has migrated, and servers of this one go on, and start anew."""

from collections.abc import Callable

import httpx
import pytest
from tortoise import Tortoise

import models
from settings import Settings
from tests.conftest import Server
from tests.people import Person

# What a migration may do, by docs/operations.md.
LATER = (
    "ALTER TABLE events ADD COLUMN note varchar(200)",
    "ALTER TABLE users ADD COLUMN points integer NOT NULL DEFAULT 0",
    "CREATE TABLE badges (id integer PRIMARY KEY)",
    "CREATE INDEX badges_of_users ON users (points)",
    "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('models', '9999_later', '2030-01-01')",
)


@pytest.fixture
async def running(make_server: Callable[..., Server]) -> Server:
    server = make_server()
    await server.start()
    return server


async def test_servers_of_both_releases_serve_one_database(
    running: Server, settings: Settings, make_server: Callable[..., Server]
) -> None:
    async with httpx.AsyncClient(base_url=running.url, timeout=20) as http:
        ana = Person(http, "ana")
        await ana.signs_up()
        await ana.creates_event(tags=["kept"])
        await models.open_database(settings)
        try:
            for statement in LATER:
                await Tortoise.get_connection("default").execute_script(statement)
            before = await ana.creates_event(tags=["kept"])  # on statements that were prepared before
            started = make_server()
            await started.start()
            async with httpx.AsyncClient(base_url=started.url, timeout=20) as other:
                ana.http = other
                assert (await ana.sees(before))["tags"] == ["kept"]
                assert (await ana.tries_to_create(tags=["kept"])).code is None
                assert (await Person(other, "ben").signs_up()).code is None
        finally:
            await undo(settings)
            await models.close_database()


async def undo(settings: Settings) -> None:
    """The tests of PostgreSQL share one database."""
    if settings.database_url.startswith("sqlite"):
        return
    for statement in (
        "ALTER TABLE events DROP COLUMN note",
        "DROP TABLE badges",
        "ALTER TABLE users DROP COLUMN points",
        "DELETE FROM tortoise_migrations WHERE name = '9999_later'",
    ):
        await Tortoise.get_connection("default").execute_script(statement)
