"""Who holds a seat, and who waits for one. All that decides it is in this file.

Four laws hold after every transaction: no more are confirmed than the event has seats; nobody waits while a seat is
free, unless the event is cancelled; whoever is confirmed has an earlier ticket than whoever waits; the event's two
counts are those of its rows. Each transaction locks the event's row first, by changing it or by SELECT FOR UPDATE, so
that two of them never decide on the same seat, and never wait for each other in a circle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self
from uuid import UUID

from tortoise import Model, fields
from tortoise.exceptions import IntegrityError
from tortoise.indexes import Index
from uuid6 import uuid7

from errors import EventCancelled, NotFound, TokenRevoked
from models.changes import Change, ChangeKind, EventChanged, RsvpChanged, told_transaction
from models.event import Event, as_key
from models.listing import Listing
from models.reads import Condition, Order, among, dialect, query, select, select_changed, update
from models.rows import Row, Rows
from models.user import User


class RsvpStatus(StrEnum):
    CONFIRMED = "CONFIRMED"
    WAITLISTED = "WAITLISTED"
    CANCELLED = "CANCELLED"


class Rsvp(Model):
    """A user's place at an event: one row for the two, however often it is given up and taken again."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    event: fields.ForeignKeyRelation[Event] = fields.ForeignKeyField("models.Event", related_name=False)
    event_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name=False)
    user_id: UUID
    status = fields.CharField(max_length=10)
    # The number drawn when the place was taken. By it the line is ordered: clocks of several servers would not agree.
    ticket = fields.IntField()
    updated_at = fields.DatetimeField()

    class Meta:
        table = "rsvps"
        unique_together = (("event", "user"),)
        indexes = (
            Index(fields=("event_id", "status", "ticket"), name="rsvps_line"),
            Index(fields=("user_id", "status"), name="rsvps_of_user"),
        )

    computed: ClassVar = {
        "waitlist_position": "CASE WHEN {t}.status = 'WAITLISTED' THEN (SELECT count(*) FROM rsvps ahead WHERE"
        " ahead.event_id = {t}.event_id AND ahead.status = 'WAITLISTED' AND ahead.ticket <= {t}.ticket) END"
    }

    @classmethod
    async def read(cls, rsvp_id: str, paths: Sequence[str]) -> Row | None:
        rows = await select(cls, paths, Condition("t.id = ?", (UUID(rsvp_id),)))
        return rows[0] if rows else None

    @classmethod
    async def _found(cls, rsvp_id: str, paths: Sequence[str]) -> Row:
        row = await cls.read(rsvp_id, paths)
        assert row is not None  # noqa: S101 - this transaction has just written it
        return row

    @classmethod
    async def of_viewer(cls, event_ids: Sequence[str], user_id: str, paths: Sequence[str]) -> list[Row | None]:
        """The user's place at each of the events, in one statement; None where there never was one."""
        where = Condition("t.user_id = ?", (UUID(user_id),)) & among("t.event_id", map(UUID, event_ids))
        rows = await select(cls, [*paths, "event.id"], where)
        places = {row["event"]["id"]: row for row in rows}
        return [places.get(event_id) for event_id in event_ids]

    @classmethod
    async def take(cls, event_id: str, *, user_id: str, now: datetime, paths: Sequence[str] = ("id",)) -> Row:
        """The user's place: confirmed while seats last, then waitlisted. Saying it again changes nothing.

        `now` is aware and in UTC. Raises NotFound, EventCancelled, and TokenRevoked where the user is gone.
        """
        key, user = as_key(event_id), UUID(user_id)
        if key is None:
            raise NotFound("event")
        # Before it is the user's turn: who holds a place and asks again, as clients do, need not wait in a rush.
        if held := await cls._held(key, user, paths):
            return held
        try:
            async with told_transaction(key) as told:
                give = _give_at_once if dialect() == "postgres" else _give
                place = await give(key, user, now, paths)
                event = {name: value for name, value in place["event"].items() if name in _EVENT_OWN}
                told += [
                    RsvpChanged(place["id"], event["id"], user_id, place["status"]),
                    EventChanged(ChangeKind.UPDATED, event["id"], _before(event), event),
                ]
                return place
        except _HeldMeanwhile:
            return await cls.take(event_id, user_id=user_id, now=now, paths=paths)  # which finds it, or takes it anew
        except IntegrityError:
            raise TokenRevoked from None  # the account was deleted since its token was looked at

    @classmethod
    async def give_up(cls, event_id: str, *, user_id: str, now: datetime, paths: Sequence[str] = ("id",)) -> Row:
        """The user's place, cancelled; the first in line takes the freed seat. Saying it again changes nothing.

        Raises NotFound.
        """
        async with told_transaction(as_key(event_id)) as told:
            event = await Event.locked(event_id)
            return await cls._found(await cls.leave(event, UUID(user_id), told, now), paths)

    @classmethod
    async def leave(cls, event: Event, user_id: UUID, told: list[Change], now: datetime) -> str:
        """The id of the user's place at the locked event, cancelled. Raises NotFound."""
        place = await cls.get_or_none(event_id=event.id, user_id=user_id)
        if place is None:
            raise NotFound("place of yours at this event")
        was = place.status
        if was != RsvpStatus.CANCELLED:
            place.status, place.updated_at = RsvpStatus.CANCELLED.value, now
            await place.save(update_fields=("status", "updated_at"))
            told.append(RsvpChanged(str(place.id), str(event.id), str(user_id), place.status))
            freed = {"confirmed": -1} if was == RsvpStatus.CONFIRMED else {"waiting": -1}
            await cls.settle(event, told, now, **freed)
        return str(place.id)

    @classmethod
    async def settle(
        cls, event: Event, told: list[Change], now: datetime, *, confirmed: int = 0, waiting: int = 0
    ) -> None:
        """Gives the free seats of the locked event to the first in line, in its order, and writes the counts, which
        have changed by as many already."""
        confirmed, waiting = event.confirmed_count + confirmed, event.waitlist_count + waiting
        free = waiting if event.capacity is None else min(waiting, event.capacity - confirmed)
        if free > 0 and not event.is_cancelled:
            let_in = await cls._confirm_first(event, free, now)
            told += (RsvpChanged(row["id"], str(event.id), row["user"]["id"], RsvpStatus.CONFIRMED) for row in let_in)
            confirmed, waiting = confirmed + len(let_in), waiting - len(let_in)
        if (confirmed, waiting) != (event.confirmed_count, event.waitlist_count):
            await event.write(told, ChangeKind.UPDATED, confirmed_count=confirmed, waitlist_count=waiting)

    @classmethod
    async def _confirm_first(cls, event: Event, most: int, now: datetime) -> Rows:
        first = "SELECT id FROM rsvps WHERE event_id = ? AND status = 'WAITLISTED' ORDER BY ticket LIMIT ?"
        return await update(
            cls,
            Condition("status = 'CONFIRMED', updated_at = ?", (now,)),
            Condition(f"t.id IN ({first})", (event.id, most)),
            ("id", "user.id"),
        )

    @classmethod
    async def _held(cls, event_id: UUID, user_id: UUID, paths: Sequence[str]) -> Row | None:
        held = Condition("t.event_id = ? AND t.user_id = ? AND t.status <> 'CANCELLED'", (event_id, user_id))
        rows = await select(cls, paths, held)
        return rows[0] if rows else None


@dataclass(frozen=True)
class RsvpList(Listing):
    """Places, of an event or of a user."""

    model = Rsvp

    @classmethod
    def at_event(cls, event_id: str, status: RsvpStatus | None) -> Self:
        """First come first; without a status, those that are held."""
        where = Condition("t.event_id = ?", (UUID(event_id),)) & _in_status(status)
        return cls(where, (("ticket", "ASC"), ("id", "ASC")), f"attendees {event_id} {status}")

    @classmethod
    def of_user(cls, user_id: str, status: RsvpStatus | None, over_at: datetime | None) -> Self:
        """Changed last first; without a status, those that are held. With an instant, none of an event over by then;
        one without a time is not over."""
        where = Condition("t.user_id = ?", (UUID(user_id),)) & _in_status(status)
        if over_at is not None:
            where &= Condition(
                "EXISTS (SELECT 1 FROM events e WHERE e.id = t.event_id AND COALESCE(e.ends_at, e.starts_key) >= ?)",
                (over_at,),
            )
        order: Order = (("updated_at", "DESC"), ("id", "DESC"))
        return cls(where, order, f"rsvps {user_id} {status} {over_at is not None}")


def _in_status(status: RsvpStatus | None) -> Condition:
    return Condition("t.status <> 'CANCELLED'") if status is None else Condition("t.status = ?", (status.value,))


class _HeldMeanwhile(Exception):
    """The same user's other request was quicker: this one's ticket goes back."""


_SEAT = "waitlist_count = 0 AND (capacity IS NULL OR confirmed_count < capacity)"
_COUNTED = (
    f"tickets = tickets + 1, confirmed_count = confirmed_count + CASE WHEN {_SEAT} THEN 1 ELSE 0 END,"
    f" waitlist_count = waitlist_count + CASE WHEN {_SEAT} THEN 0 ELSE 1 END"
)
_TAKEN_AGAIN = (
    "ON CONFLICT (event_id, user_id) DO UPDATE SET status = excluded.status, ticket = excluded.ticket,"
    " updated_at = excluded.updated_at WHERE rsvps.status = 'CANCELLED'"
)
# Before Tortoise has started, as here, it does not know of creator_id yet.
_EVENT_COLUMNS = (*(name for name in Event._meta.fields_db_projection if name != "creator_id"), "creator.id")
_EVENT_OWN = frozenset(path.partition(".")[0] for path in _EVENT_COLUMNS)


async def _give(event_id: UUID, user_id: UUID, now: datetime, paths: Sequence[str]) -> Row:
    """The user's new place, with the paths and all of its event's columns. First the next place is counted in the
    event's row: a seat, or one in line. Part of the caller's transaction. Raises _HeldMeanwhile, EventCancelled,
    NotFound."""
    scheduled = Condition("t.id = ? AND t.status = 'SCHEDULED'", (event_id,))
    rows = await update(Event, Condition(_COUNTED), scheduled, ("tickets", "waitlist_count"))
    if not rows:
        raise await _why_not(event_id)
    status = RsvpStatus.WAITLISTED if rows[0]["waitlist_count"] else RsvpStatus.CONFIRMED  # see _SEAT
    columns = "id, event_id, user_id, status, ticket, updated_at"
    insert = f"INSERT INTO rsvps ({columns}) VALUES (?, ?, ?, ?, ?, ?) {_TAKEN_AGAIN} RETURNING id"  # noqa: S608
    given = await query(insert, [uuid7(), event_id, user_id, status.value, rows[0]["tickets"], now])
    if not given:
        raise _HeldMeanwhile
    return await Rsvp._found(str(given[0]["id"]), _with_also(paths))


async def _give_at_once(event_id: UUID, user_id: UUID, now: datetime, paths: Sequence[str]) -> Row:
    """The same in one statement. While the event's row is locked, nobody gives another place at it."""
    changes = Condition(
        f"WITH events AS (UPDATE events SET {_COUNTED} WHERE id = ? AND status = 'SCHEDULED' RETURNING *),"  # noqa: S608
        " rsvps AS (INSERT INTO rsvps (id, event_id, user_id, status, ticket, updated_at)"
        " SELECT ?::uuid, id, ?::uuid, CASE WHEN waitlist_count > 0 THEN 'WAITLISTED' ELSE 'CONFIRMED' END, tickets,"
        f" ?::timestamptz FROM events {_TAKEN_AGAIN} RETURNING *) ",
        (event_id, uuid7(), user_id, now),
    )
    # The position is counted in the table, in which the place is not yet.
    wanted = [path for path in paths if path != "waitlist_position"]
    rows = await select_changed(Rsvp, _with_also(wanted), changes)
    if not rows:
        raise await _why_not(event_id)
    place = rows[0]
    waits = place["status"] == RsvpStatus.WAITLISTED
    return {**place, "waitlist_position": place["event"]["waitlist_count"] if waits else None}  # the last in line


def _with_also(paths: Sequence[str]) -> tuple[str, ...]:
    """With what is read of a new place in any case."""
    return tuple(dict.fromkeys([*paths, "id", "status", *(f"event.{path}" for path in _EVENT_COLUMNS)]))


async def _why_not(event_id: UUID) -> Exception:
    """Why no place was given."""
    event = await Event.get_or_none(id=event_id)
    if event is None:
        return NotFound("event")
    return EventCancelled() if event.is_cancelled else _HeldMeanwhile()


def _before(event: Row) -> Row:
    """The event as it was before the ticket was drawn."""
    count = "waitlist_count" if event["waitlist_count"] else "confirmed_count"
    return {**event, "tickets": event["tickets"] - 1, count: event[count] - 1}
