"""Changes as they travel between processes, and the place of each among those of its event.

The number of an event's state is made of its row: version + 2 * tickets - confirmed - waiting. Each transaction that
changes an event takes it to the next number: a new version is one more; a place taken is a ticket more and a person
more; a place given up is a person less; who is let in from the line was a person before. So the numbers count the
commits, in their order, and none is left out. Each transaction tells its places first, and the event last.
"""

from datetime import datetime
from functools import cache
from typing import Any

from tortoise.fields import DatetimeField

from models.changes import Change, ChangeKind, EventChanged, RsvpChanged
from models.event import Event
from models.rows import Row
from replicas import Place


class ChangeWire:
    """replicas.Wire."""

    def write(self, change: Change) -> Any:
        if isinstance(change, RsvpChanged):
            return [change.rsvp_id, change.event_id, change.user_id, change.status]
        return [change.kind, change.event_id, change.before, change.after]

    def read(self, written: Any) -> Change:
        first, event_id, third, fourth = written
        if isinstance(third, str):
            return RsvpChanged(first, event_id, third, fourth)
        return EventChanged(ChangeKind(first), event_id, _row(third), _row(fourth))

    def place(self, change: Change) -> Place:
        if isinstance(change, RsvpChanged):
            return Place(change.event_id)
        begins = _number(change.before) if change.before else 0
        return Place(change.event_id, begins, _number(change.after) if change.after else begins + 1)


def _number(row: Row) -> int:
    number: int = row["version"] + 2 * row["tickets"] - row["confirmed_count"] - row["waitlist_count"]
    return number


def _row(written: Any) -> Row | None:
    if written is None:
        return None
    if not isinstance(written, dict):
        raise TypeError("no row")
    instants = {name: datetime.fromisoformat(written[name]) for name in _instants() if written.get(name)}
    return {**_of_older_release(), **written, **instants}


@cache
def _instants() -> tuple[str, ...]:
    return tuple(name for name, field in Event._meta.fields_map.items() if isinstance(field, DatetimeField))


@cache
def _of_older_release() -> Row:
    """For columns that whoever wrote does not know yet; the ids it does know."""
    columns = Event._meta.fields_map.items()
    return {name: field.default for name, field in columns if name not in {"id", "creator", "creator_id"}}
