"""A mutation that was made, while what is read below it cannot be: it is never called UNAVAILABLE, by which clients
know that nothing was done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

import models
from settings import Settings
from tests.people import Person

TALK = """input: {
  title: "Talk", description: "", tags: [], location: "", startsAt: "2030-01-01T09:00:00Z", timeZone: "UTC"
}"""

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_statement_seconds": 0.8})


@asynccontextmanager
async def locked(settings: Settings) -> AsyncIterator[None]:
    """The table of places, by somebody else."""
    other = await asyncpg.connect(settings.database_url)
    async with other.transaction():
        await other.execute("LOCK TABLE rsvps")
        yield
    await other.close()


@pytest.mark.parametrize("below", ["clashes", "myRsvp"])
async def test_the_change_is_told_as_made(settings: Settings, ana: Person, below: str) -> None:
    async with locked(settings):
        answer = await ana.asks(f"mutation {{ createEvent({TALK}) {{ id {below} {{ id }} }} }}")

    (error,) = answer.errors
    assert error["path"] == ["createEvent", below]
    assert error["message"].startswith("The change was made")
    assert error["extensions"] == {"code": "INTERNAL", "requestId": answer.response.headers["x-request-id"]}
    assert "retry-after" not in answer.response.headers
    assert await models.Event.all().count() == 1


async def test_of_two_changes_the_one_that_was_not_made_is_told_apart(settings: Settings, ana: Person) -> None:
    event = await ana.creates_event()
    rsvp = f'rsvp(eventId: "{event["id"]}") {{ id }}'
    async with locked(settings):
        both = await ana.asks(f"mutation {{ createEvent({TALK}) {{ title }} {rsvp} }}")
        alone = await ana.asks(f"mutation {{ {rsvp} }}")

    assert both.body["data"] == {"createEvent": {"title": "Talk"}, "rsvp": None}
    assert both.code == alone.code == "UNAVAILABLE"
    assert "retry-after" not in both.response.headers
    assert "retry-after" in alone.response.headers
