"""A key stands for one event, whoever sends it when and how often."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from uuid6 import uuid7

import models
from errors import KeyReused, TokenRevoked, ValidationFailed
from models.idempotency import LIFE, IdempotencyKey
from settings import Settings

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
async def ana(database: Settings) -> str:
    user = await models.User.create(
        email="ana", email_key="ana", username="ana", username_key="ana", password_hash="", created_at=NOW
    )
    return str(user.id)


async def publish(creator_id: str, key: str, title: str = "A talk", now: datetime = NOW) -> str:
    said = models.EventInput(title=title, description="", tags=["a"], location="")
    return str((await models.Event.publish(said, creator_id=creator_id, now=now, key=key))["id"])


async def keep(user_id: str, keys: Iterable[str], created_at: datetime) -> None:
    await IdempotencyKey.bulk_create(
        IdempotencyKey(user_id=UUID(user_id), key=key, input_hash="", event_id=uuid7(), created_at=created_at)
        for key in keys
    )


async def test_of_many_inputs_at_once_under_one_key_one_is_taken(ana: str) -> None:
    asked = (publish(ana, "k", title=f"Talk {number % 5}") for number in range(20))

    outcomes = await asyncio.gather(*asked, return_exceptions=True)

    assert len({outcome for outcome in outcomes if isinstance(outcome, str)}) == 1
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, str)] == [KeyReused] * 16
    assert await models.Event.all().count() == 1


async def test_an_old_key_makes_one_new_event_also_when_twenty_come_at_once(ana: str) -> None:
    first = await publish(ana, "k", now=NOW - LIFE)

    made = set(await asyncio.gather(*(publish(ana, "k", title="New") for _ in range(20))))

    assert len(made) == 1
    assert first not in made
    assert await publish(ana, "k", title="New", now=NOW + LIFE - timedelta(microseconds=1)) in made


async def test_old_keys_are_cleared_away_while_many_come(ana: str) -> None:
    await keep(ana, (f"old {number}" for number in range(500)), NOW - LIFE)
    await keep(ana, ["fresh"], NOW - LIFE + timedelta(microseconds=1))

    await asyncio.gather(*(publish(ana, f"old {number}") for number in range(0, 500, 50)))

    kept = {one.key for one in await IdempotencyKey.all()}
    assert kept == {"fresh"} | {f"old {number}" for number in range(0, 500, 50)}


async def test_a_publishing_that_is_cancelled_leaves_its_key_free_or_its_event_made(ana: str) -> None:
    for number in range(30):
        task = asyncio.ensure_future(publish(ana, f"k{number}"))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    events = {str(one.id) for one in await models.Event.all()}
    assert {str(one.event_id) for one in await IdempotencyKey.all()} == events
    again = await asyncio.gather(*(publish(ana, f"k{number}") for number in range(30)))
    assert events <= set(again)
    assert await models.Event.all().count() == 30


async def test_a_key_of_nobody_is_not_kept(ana: str) -> None:
    await models.User.filter(id=ana).delete()

    with pytest.raises(TokenRevoked):
        await publish(ana, "k")
    assert await IdempotencyKey.all().count() == 0


async def test_blanks_around_a_key_are_no_part_of_it(ana: str) -> None:
    """U+3000 is the blank of Chinese and Japanese."""
    longest = "열쇠" * 127 + "k"

    made = {await publish(ana, key) for key in (longest, f" {longest}", longest + 300 * "\u3000")}

    assert len(made) == 1
    with pytest.raises(ValidationFailed):
        await publish(ana, longest + "k")
