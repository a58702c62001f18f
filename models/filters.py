"""Which events a list, a feed or a subscriber is about: one meaning, as a SQL condition and as a test of one event.

All that is said holds together. A field left out, or null, says nothing, and so does a range without an end. An empty
`tags_any` or `status` names no event; an empty `tags_all` asks nothing, so that every event has it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from errors import Unauthenticated, ValidationFailed
from models.event import NEVER, EventStatus, as_key
from models.event_input import LOCATION_LONGEST
from models.matches import Match, all_of
from models.reads import Condition, among, contains
from models.rows import Row
from models.tags import MOST, EventTag
from models.text import Unfit, fit, fold, instant

NOBODY = ""  # the creator of no event: an id that no user can have
_TAG_LONGEST: int = EventTag._meta.fields_map["key"].max_length  # type: ignore[attr-defined]  # `tags` shows keys


class Mine(StrEnum):
    ORGANISING = "ORGANISING"
    ATTENDING = "ATTENDING"  # holds a confirmed place


@dataclass(frozen=True)
class Range:
    """From one instant on, and before the other; None leaves an end open."""

    since: datetime | None = None
    before: datetime | None = None

    def condition(self, column: str) -> Condition:
        ends = ((f"{column} >= ?", self.since), (f"{column} < ?", self.before))
        return all_of(Condition(sql, (end,)) for sql, end in ends if end is not None)

    def holds(self, at: datetime) -> bool:
        return (self.since is None or self.since <= at) and (self.before is None or at < self.before)


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """Made by `of` from what a client says, or by `from_json` from what `as_json` gave: its texts are folded."""

    tags_any: tuple[str, ...] | None = None
    tags_all: tuple[str, ...] | None = None
    location: str | None = None
    creator: str | None = None
    starts_at: Range | None = None
    created_at: Range | None = None
    status: tuple[EventStatus, ...] | None = None
    has_seats: bool | None = None
    mine: Mine | None = None
    viewer_id: str | None = None  # whose `mine`

    @classmethod
    def of(cls, said: Mapping[str, Any], viewer_id: str | None = None) -> Self:
        """From the fields' values by the names above, a range as a mapping of `from` and `before`, instants as text.

        Raises ValidationFailed, naming every wrong field at once, and Unauthenticated on `mine` without a viewer.
        """
        wrong: dict[str, str] = {}
        checked: dict[str, Any] = {}
        for name, rule in _RULES.items():
            if (value := said.get(name)) is not None:
                try:
                    checked[name] = rule(value)
                except Unfit as reason:
                    wrong[f"filter.{_shown(name)}"] = str(reason)
        for name in ("starts_at", "created_at"):
            checked[name] = _range(f"filter.{_shown(name)}", said.get(name) or {}, wrong)
        if wrong:
            raise ValidationFailed(wrong)
        if "mine" in checked:
            if viewer_id is None:
                raise Unauthenticated
            checked["viewer_id"] = viewer_id
        return cls(**checked)

    def condition(self) -> Condition:
        """What holds for the row `t` of `events`."""
        return all_of([*(match.condition for match in self.matches()), self.rest()])

    def matches(self) -> list[Match]:
        """The part of the condition that another table finds: the tags."""
        keys = [Condition("g.key = ?", (tag,)) for tag in self.tags_all or ()]
        if self.tags_any is not None:
            keys.append(among("g.key", self.tags_any))
        creators = {self.creator, self.viewer_id if self.mine is Mine.ORGANISING else None} - {None, NOBODY}
        by_creator = [
            Match(
                Condition("SELECT c.id FROM events c WHERE c.creator_id = ?", (UUID(one),)),
                Condition("t.creator_id = ?", (UUID(one),)),
            )
            for one in sorted(filter(None, creators))
        ]
        return by_creator + [
            Match(
                Condition(f"SELECT g.event_id FROM event_tags g WHERE {key.sql}", key.values),  # noqa: S608 - of code
                Condition(f"EXISTS (SELECT 1 FROM event_tags g WHERE g.event_id = t.id AND {key.sql})", key.values),  # noqa: S608
            )
            for key in keys
        ]

    def rest(self) -> Condition:
        """The part that the event's own row answers, and `mine`."""
        return all_of(self._rest())

    def _rest(self) -> Iterable[Condition]:
        if self.location:
            yield Condition(contains("t.location_key"), (self.location,))
        if self.creator is not None:
            yield Condition("t.creator_id = ?", (UUID(self.creator),)) if self.creator != NOBODY else Condition("1 = 0")
        if self.starts_at is not None:
            # By the key, which has an index; events without a start have the key of a distant date.
            yield Condition("t.starts_at IS NOT NULL AND t.starts_key < ?", (NEVER,)) & self.starts_at.condition(
                "t.starts_key"
            )
        if self.created_at is not None:
            yield self.created_at.condition("t.created_at")
        if self.status is not None:
            yield among("t.status", [status.value for status in self.status])
        if self.has_seats is not None:
            free = "(t.capacity IS NULL OR t.confirmed_count < t.capacity)"
            yield Condition(free if self.has_seats else f"NOT {free}")
        if self.mine is not None:
            yield Condition(_MINE[self.mine], (UUID(self.viewer_id),))

    def holds(self, event: Row, *, attends: bool = False) -> bool:
        """The same of one event, by its columns as models.Event.row gives them; `attends` says whether the viewer holds
        a confirmed place at it."""
        tags = {fold(tag) for tag in event["tags"]} if self.tags_any is not None or self.tags_all else set()
        has_seats = event["capacity"] is None or event["confirmed_count"] < event["capacity"]
        starts_at = event["starts_at"]
        return (
            (self.tags_any is None or not tags.isdisjoint(self.tags_any))
            and tags.issuperset(self.tags_all or ())
            and (not self.location or self.location in event["location_key"])
            and (self.creator is None or self.creator == event["creator"]["id"])
            and (self.starts_at is None or (starts_at is not None and self.starts_at.holds(starts_at)))
            and (self.created_at is None or self.created_at.holds(event["created_at"]))
            and (self.status is None or event["status"] in self.status)
            and (self.has_seats is None or self.has_seats == has_seats)
            and (self.mine is not Mine.ORGANISING or self.viewer_id == event["creator"]["id"])
            and (self.mine is not Mine.ATTENDING or attends)
        )

    def as_json(self) -> dict[str, Any]:
        """What is said, in JSON's kinds of values. It stands in calendars' addresses: `from_json` reads, for ever, what
        this has ever written."""
        said = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: _plain(value) for name, value in said if value is not None}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Raises ValueError, TypeError or KeyError where `as_json` did not write it."""
        kept: dict[str, Any] = {name: _KINDS[name](value) for name, value in said.items()}
        return cls(**kept)


_MINE = {
    Mine.ORGANISING: "t.creator_id = ?",
    Mine.ATTENDING: "t.id IN (SELECT event_id FROM rsvps WHERE user_id = ? AND status = 'CONFIRMED')",
}


def _tags(said: Sequence[str]) -> tuple[str, ...]:
    if len(said) > MOST:
        raise Unfit(f"there are {len(said)}; at most {MOST} are allowed.")
    keys = set()
    for tag in said:
        try:
            keys.add(fold(fit(tag, shortest=1, longest=_TAG_LONGEST)))
        except Unfit as reason:
            raise Unfit(f"{json.dumps(tag[:_TAG_LONGEST])} {reason}") from None
    return tuple(sorted(keys))  # in one order: whoever names the same tags asks for the same list


def _location(said: str) -> str | None:
    return fold(fit(said, longest=LOCATION_LONGEST)) or None


def _creator(said: str) -> str:
    key = as_key(said)
    return str(key) if key else NOBODY


def _statuses(said: Sequence[EventStatus]) -> tuple[EventStatus, ...]:
    return tuple(status for status in EventStatus if status in said)


_RULES: dict[str, Callable[[Any], Any]] = {
    "tags_any": _tags,
    "tags_all": _tags,
    "location": _location,
    "creator": _creator,
    "status": _statuses,
    "has_seats": bool,
    "mine": Mine,
}


def _range(name: str, said: Mapping[str, Any], wrong: dict[str, str]) -> Range | None:
    ends: dict[str, datetime] = {}
    for end in ("from", "before"):
        if (text := said.get(end)) is not None:
            try:
                ends[end] = instant(text)
            except Unfit as reason:
                wrong[f"{name}.{end}"] = str(reason)
    if len(ends) == 2 and ends["before"] <= ends["from"]:
        wrong[f"{name}.before"] = "must be after from."
    return Range(ends.get("from"), ends.get("before")) if ends else None


def _shown(name: str) -> str:
    """The field's name in GraphQL."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _plain(value: Any) -> Any:
    if isinstance(value, Range):
        ends = (("from", value.since), ("before", value.before))
        return {name: end.isoformat() for name, end in ends if end is not None}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.value if isinstance(value, StrEnum) else value


def _range_from_json(said: Mapping[str, str]) -> Range:
    ends = {name: datetime.fromisoformat(end) for name, end in said.items()}
    return Range(ends.get("from"), ends.get("before"))


_KINDS: dict[str, Callable[[Any], Any]] = {
    "tags_any": tuple,
    "tags_all": tuple,
    "location": str,
    "creator": str,
    "starts_at": _range_from_json,
    "created_at": _range_from_json,
    "status": lambda said: tuple(map(EventStatus, said)),
    "has_seats": bool,
    "mine": Mine,
    "viewer_id": str,
}
