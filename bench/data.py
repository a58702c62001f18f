"""Who publishes what, and who goes where: the same people and events in every run, and in both databases."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any
from uuid import UUID

from passlib.hash import bcrypt_sha256

from bench.databases import Record, Records
from models.event import NEVER
from models.search import texts
from models.text import fold

PASSWORD = "correct-말-battery-7"  # noqa: S105 - of everybody in a database that is thrown away
NAMED = 100  # one event in as many has a given name in its title
CALENDAR_TAG = "calendar"
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
_BATCH = 20_000


@dataclass(frozen=True)
class Account:
    id: UUID
    session_id: UUID
    name: str

    @property
    def email(self) -> str:
        return f"{self.name}@planner.test"


@dataclass(frozen=True)
class Data:
    """So many events and users; and events that every user wants a place at, with seats for half of them."""

    events: int = 10_000
    users: int = 2_000
    hot: int = 300
    bcrypt_cost: int = 12

    @property
    def said(self) -> str:
        return f"{self.events:,} events of {self.users:,} users, and {self.hot} that all of them want a place at"

    @cached_property
    def accounts(self) -> list[Account]:
        chance = random.Random(1)  # noqa: S311 - a seed, so that every run reads the same rows
        return [Account(_id(chance, _BEGIN), _id(chance, _BEGIN), f"user{number}") for number in range(self.users)]

    @property
    def calendar_events(self) -> int:
        """How many have CALENDAR_TAG, and each of them a start."""
        return min(1_000, self.events // 10)

    @property
    def viewer(self) -> Account:
        """Who publishes each fifth event, and has a place at each third."""
        return self.accounts[0]

    @cached_property
    def hot_ids(self) -> list[UUID]:
        chance = random.Random(2)  # noqa: S311
        return [_id(chance, _BEGIN - timedelta(days=1)) for _ in range(self.hot)]

    @cached_property
    def an_event_id(self) -> UUID:
        """Of an event in the midst of them."""
        id_: UUID = next(islice(self._events(), self.events // 2, None))[0]
        return id_

    def rows(self, dialect: str) -> Iterator[list[Records]]:
        """What the migrated tables hold, as the dialect's driver takes it, some of it at a time."""
        now = datetime.now(UTC)
        hashed = bcrypt_sha256.using(rounds=self.bcrypt_cost).hash(PASSWORD)
        users = [(a.id, a.email, a.email, a.name, a.name, hashed, _BEGIN) for a in self.accounts]
        later = now + timedelta(days=10)
        sessions = [(a.session_id, a.id, a.session_id.hex, later, now, now) for a in self.accounts]
        yield [
            Records("users", "id email email_key username username_key password_hash created_at", users),
            Records("sessions", "id user_id refresh_hash refresh_expires_at last_used_at created_at", sessions),
        ]
        made = enumerate(self._events())
        while batch := list(islice(made, _BATCH)):
            yield _tables([event for _, event in batch], dialect)
            places = [
                (UUID(int=number + 1), event[0], self.viewer.id, "CONFIRMED", 1, event[9])
                for number, event in batch
                if number % 3 == 0
            ]
            yield [Records("rsvps", "id event_id user_id status ticket updated_at", places)]
        yield _tables([self._hot(id_) for id_ in self.hot_ids], dialect)

    def _events(self) -> Iterator[Record]:
        chance = random.Random(20)  # noqa: S311
        for number in range(self.events):
            created = _BEGIN + timedelta(minutes=number)
            in_calendar = number < self.calendar_events
            starts = created + timedelta(days=chance.randint(1, 90))
            has_start = in_calendar or chance.random() < 0.8
            title = f"{' '.join(chance.sample(_WORDS, 4))} no{number % NAMED:02}r"
            # Sorted, since a many-to-many relation keeps no order.
            tags = sorted([*chance.sample(_TAGS, chance.randint(1, 4)), *([CALENDAR_TAG] if in_calendar else [])])
            creator = self.viewer if number % 5 == 0 else chance.choice(self.accounts)
            place, description = chance.choice(_PLACES), " ".join(chance.choices(_WORDS, k=25))
            held = int(number % 3 == 0)
            yield (
                *(_id(chance, created), creator.id, title, description, tags, place),
                *(starts if has_start else None, "Europe/Berlin" if has_start else None, None, created, held, held),
            )

    def _hot(self, id_: UUID) -> Record:
        created = _BEGIN - timedelta(days=1)
        return (id_, self.viewer.id, "hot", "", [], "Zoom", None, None, max(1, self.users // 2), created, 0, 0)


def _tables(events: list[Record], dialect: str) -> list[Records]:
    """Each event with its keys, its tags and its texts."""
    kept, tags, found = [], [], []
    for event in events:
        id_, _, title, description, its_tags, place, starts, _, _, created, _, _ = event
        kept.append((*event, created, fold(title), fold(place), starts or NEVER))
        tags += [(fold(tag), id_) for tag in its_tags]
        said: dict[str, Any] = {"title": title, "tags": its_tags, "description": description, "location": place}
        found.append((id_, *texts(said, dialect)))
    columns = (
        "id creator_id title description tags location starts_at time_zone capacity created_at confirmed_count tickets"
        " updated_at title_key location_key starts_key"
    )
    return [
        Records("events", columns, kept),
        Records("event_tags", "key event_id", tags),
        Records("event_texts", "event_id title tags rest grams", found),
    ]


def _id(chance: random.Random, at: datetime) -> UUID:
    """A UUIDv7, as the planner's own are: they stand in the order in which they are made."""
    return UUID(int=int(at.timestamp() * 1_000) << 80 | 7 << 76 | 2 << 62 | chance.getrandbits(61))
