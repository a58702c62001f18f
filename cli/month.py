"""A month that people might have planned: who publishes what, and who comes. A pure function of a seed and of now, so
that the same seed tells the same story. What it is made of is in month.toml."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from models import EventInput


@dataclass(frozen=True, kw_only=True)
class Idea:
    """What is planned, on a day of the week, for as many weeks in a row."""

    title: str
    description: str
    tags: list[str]
    location: str
    time_zone: str
    weekday: str
    at: time
    minutes: int
    capacity: int | None = None
    weeks: int = 1


_FILE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PEOPLE = tuple(_FILE["people"])
IDEAS = tuple(Idea(**idea) for idea in _FILE["ideas"])
STORY = PEOPLE[:3]  # whom the demo tells of: the organiser of the first idea, the first in line for it, a guest
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Step(NamedTuple):
    """What a person does: "takes" a place, "gives up" it, or "cancels" the event."""

    kind: str
    person: str
    at: datetime


@dataclass(frozen=True)
class Planned:
    """An event, and what happened to it so far, in order."""

    event: EventInput
    organiser: str
    starts_at: datetime
    created_at: datetime
    steps: tuple[Step, ...] = ()
    is_story: bool = False


def month(seed: int, now: datetime) -> list[Planned]:
    """60 events from a week ago to three weeks ahead, as they were published, one after the other, before `now`."""
    chance = Random(seed)  # noqa: S311 - a story, not a secret
    planned = [one for idea in IDEAS for one in _series(idea, now, chance)]
    coming = [n for n, one in enumerate(planned) if one.starts_at > now + timedelta(days=1)]
    story = next(n for n in coming if planned[n].organiser == STORY[0])
    cancelled = chance.sample([n for n in coming if n != story], 4)
    for n, one in enumerate(planned):
        steps = _queue(one, now) if n == story else _crowd(one, now, chance)
        if n in cancelled:
            at = now - timedelta(minutes=chance.randrange(5, 600))
            steps = (*(step for step in steps if step.at < at), Step("cancels", one.organiser, at))
        planned[n] = replace(one, steps=steps, is_story=n == story)
    return sorted(planned, key=lambda one: one.created_at)


def _series(idea: Idea, now: datetime, chance: Random) -> Iterator[Planned]:
    organiser = STORY[0] if idea is IDEAS[0] else chance.choice(PEOPLE[len(STORY) :])
    zone = ZoneInfo(idea.time_zone)
    day = (now - timedelta(days=7)).date()
    day += timedelta(days=(WEEKDAYS.index(idea.weekday) - day.weekday()) % 7)
    if idea.weeks == 1:
        day += timedelta(weeks=chance.randrange(4))
    for week in range(idea.weeks):
        starts_at = datetime.combine(day + timedelta(weeks=week), idea.at, zone)
        event = EventInput(
            title=idea.title,
            description=idea.description,
            tags=idea.tags,
            location=idea.location,
            starts_at=starts_at.isoformat(),
            ends_at=(starts_at + timedelta(minutes=idea.minutes)).isoformat(),
            time_zone=idea.time_zone,
            capacity=idea.capacity,
        )
        announced = min(starts_at.astimezone(UTC), now) - timedelta(minutes=chance.randrange(2 * 1440, 12 * 1440))
        yield Planned(event, organiser, starts_at, announced)


def _crowd(planned: Planned, now: datetime, chance: Random) -> tuple[Step, ...]:
    """Who comes: often too few, sometimes too many; one in ten thinks better of it."""
    capacity = planned.event.capacity
    wanted = chance.randint(5, 25) if capacity is None else chance.randint(capacity // 3, capacity * 4 // 3)
    others = [name for name in PEOPLE if name != planned.organiser]
    guests = chance.sample(others, min(wanted, len(others)))
    until = min(planned.starts_at.astimezone(UTC), now)
    steps = []
    for guest in guests:
        at = planned.created_at + chance.random() * (until - planned.created_at)
        steps.append(Step("takes", guest, at))
        if chance.random() < 0.1:
            steps.append(Step("gives up", guest, at + chance.random() * (until - at)))
    return tuple(sorted(steps, key=lambda step: step.at))


def _queue(planned: Planned, now: datetime) -> tuple[Step, ...]:
    """A full house: the guest of STORY has a seat, the waiting one of STORY is the first in line."""
    _, waiting, guest = STORY
    others = [name for name in PEOPLE if name not in STORY]
    seats = planned.event.capacity or 0
    names = [guest, *others[: seats - 1], waiting, *others[seats - 1 : seats + 2]]
    pause = (now - planned.created_at) / (len(names) + 1)
    return tuple(Step("takes", name, planned.created_at + n * pause) for n, name in enumerate(names, 1))
