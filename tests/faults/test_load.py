"""The verdict itself: it sees what is lost, doubled, miscounted, or done though it was refused."""

import httpx
import pytest

from models.reads import query
from settings import Settings
from tests.faults.load import Load


@pytest.fixture
async def load(http: httpx.AsyncClient, settings: Settings) -> Load:
    """That has found all well."""
    load = await Load.of(settings, http, writers=1, guests=3, readers=1)
    async with load.running():
        await load.reaches(20)
    assert await load.faults() == []
    return load


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM events WHERE title = ?", "was answered and is lost"),
        ("UPDATE events SET title = 'talk 0' WHERE title = ?", "is there 2 times"),
        ("DELETE FROM event_tags WHERE event_id = (SELECT id FROM events WHERE title = ?)", "is in pieces"),
        ("UPDATE events SET confirmed_count = 9 WHERE title <> ?", "are counted"),
    ],
)
async def test_it_sees_rows_that_are_not_as_they_were_told(load: Load, statement: str, fault: str) -> None:
    await query(statement, [load.created.made[0]])

    assert fault in " ".join(await load.faults())


async def test_it_sees_a_seat_that_was_lost(load: Load) -> None:
    talk = load.talks[0]
    for who in {one.who for one in load.history.of(talk)}:
        guest = next(person for person in load.people.values() if person.id == who)
        assert await load.history.asks(guest, "rsvp", talk) is None
    assert await load.faults() == []

    await query("DELETE FROM rsvps WHERE event_id = ?", [talk])
    await query("UPDATE events SET confirmed_count = 0, waitlist_count = 0 WHERE id = ?", [talk])

    assert "was answered otherwise" in " ".join(await load.faults())


async def test_it_sees_what_was_done_though_it_was_refused(load: Load) -> None:
    load.created.told[load.created.made[0]] = "UNAVAILABLE"

    assert "was refused and is there" in " ".join(await load.faults())
