"""Who publishes what: the same people and events in every run."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

USERS = 200
EVENTS = 10_000

_TAGS = (
    "python",
    "fastapi",
    "graphql",
    "redis",
    "책",
    "출간",
    "모임",
    "음악",
    "jazz",
    "running",
    "food",
    "art",
    "film",
)
_WORDS = (
    "an",
    "evening",
    "with",
    "friends",
    "about",
    "code",
    "and",
    "coffee",
    "함께",
    "읽는",
    "책",
    "이야기",
    "for",
    "all",
)
_PLACES = ("Google Meet", "서울 강남구 테헤란로 1", "Berlin, Alexanderplatz 1", "Zoom", "Busan Cinema Center")
_BEGIN = datetime(2026, 1, 1, 9, 0, 0, 250_000, tzinfo=UTC)


async def fill(database_url: str) -> None:
    """Fills the migrated tables."""
    chance = random.Random(20)  # noqa: S311 - a seed, so that every run reads the same rows
    users = [_user(chance, number) for number in range(USERS)]
    events = [_event(chance, number, chance.choice(users)[0]) for number in range(EVENTS)]
    tags = [(tag, event[0]) for event in events for tag in event[4]]
    connection = await asyncpg.connect(database_url)
    try:
        for table, columns, records in (
            ("users", "id email email_key username username_key password_hash created_at", users),
            ("events", "id creator_id title description tags location starts_at created_at updated_at", events),
            ("event_tags", "key event_id", tags),
        ):
            await connection.copy_records_to_table(table, columns=columns.split(), records=records)
    finally:
        await connection.close()


async def settle(database_url: str) -> None:
    """Does now what PostgreSQL would do by itself in the middle of a round."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _user(chance: random.Random, number: int) -> tuple[UUID, str, str, str, str, str, datetime]:
    name = f"user{number}"
    email = f"{name}@planner.test"
    return _id(chance), email, email, name, name, "nobody signs in", _BEGIN


def _event(
    chance: random.Random, number: int, creator: UUID
) -> tuple[UUID, UUID, str, str, list[str], str, datetime | None, datetime, datetime]:
    created = _BEGIN + timedelta(minutes=number)
    starts = created + timedelta(days=chance.randint(1, 90)) if chance.random() < 0.8 else None
    title = f"{' '.join(chance.sample(_WORDS, 4))} #{number}"
    tags = sorted(chance.sample(_TAGS, chance.randint(1, 4)))  # sorted: a many-to-many relation keeps no order
    return (
        _id(chance),
        creator,
        title,
        " ".join(chance.choices(_WORDS, k=25)),
        tags,
        chance.choice(_PLACES),
        starts,
        created,
        created,
    )


def _id(chance: random.Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)
