"""The command `python -m bench.deep_pages`: what a page half way down a long list costs, against the list's first.

Each order and the dear filters, on SQLite and on PostgreSQL, in databases of their own that are thrown away.
"""

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Annotated
from uuid import UUID

import typer

import models
from bench.databases import DATABASES, Record, Records
from models import EventFilter, EventList, EventOrder, EventOrderField, OrderDirection, PageRequest
from models.event import NEVER
from models.search import texts
from settings import Settings

Events = Annotated[int, typer.Option(min=20_000, max=5_000_000, help="How many events there are.")]
Rounds = Annotated[int, typer.Option(min=1, max=1_000, help="How often each page is read; the median counts.")]
Only = Annotated[str, typer.Option(help="sqlite or postgresql, to measure one of the two.")]

PATHS = ("id", "title", "tags", "location", "starts_at", "creator.id", "creator.username")
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_USERS = 200
_PLACES = ("Google Meet", "서울 강남구", "Berlin", "부산", "Zoom")
_WORDS = ("파이썬", "모임", "책", "evening", "coffee", "code", "music", "함께", "이야기", "running")
_TAGS = ("python", "음악", "food", "jazz", "art", "film", "책")


def deep_pages(events: Events = 1_000_000, rounds: Rounds = 30, only: Only = "") -> None:
    """Measure the first page of each list against one half way down it."""
    for name in DATABASES:
        if only in ("", name):
            asyncio.run(_measure(name, events, rounds))


async def _measure(name: str, events: int, rounds: int) -> None:
    began = time.perf_counter()
    async with DATABASES[name](partial(_rows, events)) as database:
        _say(f"\n{name}, {events:,} events, filled in {time.perf_counter() - began:.0f} s\n")
        _say(f"{'list':<34}{'events':>10}{'first, ms':>12}{'half way, ms':>14}{'ratio':>8}\n")
        await models.open_database(Settings(_env_file=None, secret_key="-" * 32, database_url=database.url))
        try:
            for title, listed in _lists().items():
                (count,) = await EventList.counts([listed])
                after = await _cursor(listed, max(1, count // 2))
                first, deep = await _median(listed, None, rounds), await _median(listed, after, rounds)
                _say(f"{title:<34}{count:>10,}{first:>12.2f}{deep:>14.2f}{deep / first:>8.2f}\n")
        finally:
            await models.close_database()


def _lists() -> dict[str, EventList]:
    found = {}
    for field in EventOrderField:
        for direction in OrderDirection:
            search = "파이썬 모임" if field is EventOrderField.RELEVANCE else None
            found[f"{field} {direction}"] = EventList.of(search=search, order=EventOrder(field, direction))
    soonest = EventOrder(EventOrderField.STARTS_AT, OrderDirection.ASC)
    for tag in ("python", "rare"):
        tagged = EventFilter.of({"tags_any": [tag]})
        found[f"tagsAny {tag}"] = EventList.of(tagged)
        found[f"tagsAny {tag}, STARTS_AT ASC"] = EventList.of(tagged, order=soonest)
    found["tagsAll python, food"] = EventList.of(EventFilter.of({"tags_all": ["python", "food"]}))
    found["search 파이썬 모임"] = EventList.of(search="파이썬 모임")
    found["search 희귀"] = EventList.of(search="희귀")
    found["search 희귀, tagsAny python"] = EventList.of(EventFilter.of({"tags_any": ["python"]}), "희귀")
    return found


async def _cursor(listed: EventList, depth: int) -> str:
    seen = 0
    async for rows in listed.stream(["id"], chunk=min(50_000, depth)):
        seen += len(rows)
        if seen >= depth:
            return listed.keyset.cursor(rows, depth - seen - 1)
    raise AssertionError("The list is shorter than its count.")


async def _median(listed: EventList, after: str | None, rounds: int) -> float:
    """In milliseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        await EventList.pages([listed], PATHS, PageRequest(20, after))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1_000


def _say(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def _users() -> Iterator[Record]:
    for number in range(_USERS):
        name = f"user{number}"
        yield UUID(int=number), name, name, name, name, "-", _BEGIN


def _events(count: int, dialect: str) -> Iterator[tuple[Record, list[Record], Record]]:
    """Each with its tags and its texts; a tag or word called rare is in one of 10,000."""
    chance = random.Random(20)  # noqa: S311 - a seed, so that every run reads the same rows
    for number in range(count):
        created = _BEGIN + timedelta(seconds=20 * number)
        id_ = UUID(int=int(created.timestamp() * 1_000) << 80 | 7 << 76 | 2 << 62 | chance.getrandbits(61))
        starts = created + timedelta(hours=chance.randint(1, 2_000)) if chance.random() < 0.8 else None
        rare = number % 10_000 == 5_000
        title = f"{' '.join(chance.sample(_WORDS, 3))}{' 희귀' if rare else ''} {number % 1_000}"
        tags = chance.sample(_TAGS, 2) + (["rare"] if rare else [])
        place = chance.choice(_PLACES)
        event = (
            *(id_, UUID(int=chance.randrange(_USERS)), title, "", tags, place, starts, chance.randrange(200)),
            *(created, created, title, place.casefold(), starts or NEVER),
        )
        columns = {"title": title, "tags": tags, "description": "", "location": place}
        yield event, [(tag, id_) for tag in tags], (id_, *texts(columns, dialect))


def _rows(count: int, dialect: str) -> Iterator[list[Records]]:
    yield [Records("users", "id email email_key username username_key password_hash created_at", list(_users()))]
    made = _events(count, dialect)
    columns = (
        "id creator_id title description tags location starts_at confirmed_count created_at updated_at title_key"
        " location_key starts_key"
    )
    while batch := list(islice(made, 20_000)):
        events, tags, found = zip(*batch, strict=True)
        yield [
            Records("events", columns, list(events)),
            Records("event_tags", "key event_id", [tag for each in tags for tag in each]),
            Records("event_texts", "event_id title tags rest grams", list(found)),
        ]


if __name__ == "__main__":
    typer.run(deep_pages)
