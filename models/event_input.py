"""What may be said of an event: the rule of each field, and those that tie fields together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from errors import ValidationFailed
from models.tags import fit_tags
from models.text import Unfit, fit, instant, time_zone, url

TITLE_LONGEST = 200
DESCRIPTION_LONGEST = 10_000
LOCATION_LONGEST = 200
CAPACITY_LARGEST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class EventInput:
    """What a client says of a new event: unchecked, addresses, instants and time zones still text."""

    title: str
    image: str | None = None
    description: str
    tags: list[str]
    location: str
    starts_at: str | None = None
    ends_at: str | None = None
    time_zone: str | None = None
    capacity: int | None = None


def _capacity(value: int) -> int:
    if not 1 <= value <= CAPACITY_LARGEST:
        raise Unfit(f"must be from 1 to {CAPACITY_LARGEST}, or null for no limit.")
    return value


@dataclass(frozen=True)
class _Field:
    name: str  # in GraphQL
    rule: Callable[[Any], Any]
    may_be_null: bool = True


_FIELDS = {
    "title": _Field("title", partial(fit, shortest=1, longest=TITLE_LONGEST), may_be_null=False),
    "image": _Field("image", url),
    "description": _Field("description", partial(fit, longest=DESCRIPTION_LONGEST, layout=True), may_be_null=False),
    "tags": _Field("tags", fit_tags, may_be_null=False),
    "location": _Field("location", partial(fit, longest=LOCATION_LONGEST), may_be_null=False),
    "starts_at": _Field("startsAt", instant),
    "ends_at": _Field("endsAt", instant),
    "time_zone": _Field("timeZone", time_zone),
    "capacity": _Field("capacity", _capacity),
}

DETAILS = tuple(_FIELDS)  # their columns' names


def checked(given: Mapping[str, Any], kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The columns' values of the fields given, which together with those kept make an event.

    Raises ValidationFailed, naming every wrong field at once.
    """
    wrong: dict[str, str] = {}
    values: dict[str, Any] = {}
    for column, said in given.items():
        field = _FIELDS[column]
        if said is None and not field.may_be_null:
            wrong[field.name] = "must not be null. Leave it out to keep it as it is."
        try:
            values[column] = None if said is None else field.rule(said)
        except Unfit as reason:
            wrong[field.name] = str(reason)
    for name, problem in _at_odds({**(kept or {}), **given}, {**(kept or {}), **values}):
        wrong.setdefault(name, problem)
    if wrong:
        raise ValidationFailed(wrong)
    return values


def _at_odds(said: Mapping[str, Any], values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Which fields do not go together. `said` also holds what is wrong in itself, `values` does not."""
    found = []
    if said["ends_at"] is not None and said["starts_at"] is None:
        found.append(("startsAt", "is needed where endsAt is given."))
    starts_at, ends_at = values.get("starts_at"), values.get("ends_at")
    if starts_at and ends_at and ends_at <= starts_at:
        found.append(("endsAt", "must be after startsAt."))
    if (said["starts_at"] is not None or said["ends_at"] is not None) and said["time_zone"] is None:
        found.append(("timeZone", "is needed where startsAt or endsAt is given, such as Europe/Berlin."))
    return found
