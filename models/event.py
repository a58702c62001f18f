"""An event: published, changed, cancelled, deleted, and by whom. All that decides about an event is in this file."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from tortoise import Model, fields
from tortoise.exceptions import IntegrityError
from tortoise.indexes import Index
from uuid6 import uuid7

from errors import CapacityBelowConfirmed, Conflict, EventCancelled, Forbidden, NotFound, TokenRevoked
from models.changes import Change, ChangeKind, EventChanged, told_statement, told_transaction
from models.event_input import DETAILS, LOCATION_LONGEST, TITLE_LONGEST, EventInput, checked
from models.idempotency import IdempotencyKey
from models.reads import Condition, dialect, select
from models.rows import NO_ROWS, Row, Rows
from models.search import SEARCHED, EventText
from models.tags import EventTag, TagList
from models.text import URL_LONGEST, fold
from models.user import User
from models.writes import add

NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
TITLE_KEY_LONGEST = 200


class EventStatus(StrEnum):
    SCHEDULED = "SCHEDULED"
    CANCELLED = "CANCELLED"


# What every event begins with.
_NEW = {"status": EventStatus.SCHEDULED.value, "confirmed_count": 0, "waitlist_count": 0, "tickets": 0, "version": 1}


class Event(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    creator: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name=False)
    creator_id: UUID
    title = fields.CharField(max_length=TITLE_LONGEST)
    image = fields.CharField(max_length=URL_LONGEST, null=True)
    description = fields.TextField()
    tags = TagList()
    location = fields.CharField(max_length=LOCATION_LONGEST)
    starts_at = fields.DatetimeField(null=True)
    ends_at = fields.DatetimeField(null=True)
    time_zone = fields.CharField(max_length=64, null=True)
    status = fields.CharField(max_length=9, default=EventStatus.SCHEDULED.value, db_default=EventStatus.SCHEDULED.value)
    capacity = fields.IntField(null=True)
    # Counted here, and changed only together with the rows of `rsvps` that they count: see models/rsvp.py.
    confirmed_count = fields.IntField(default=0, db_default=0)
    waitlist_count = fields.IntField(default=0, db_default=0)
    tickets = fields.IntField(default=0, db_default=0)  # how many places were given, ever: each takes the next number
    version = fields.IntField(default=1, db_default=1)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    # What lists are ordered and filtered by, made of the columns above: see _keys.
    title_key = fields.CharField(max_length=TITLE_KEY_LONGEST, db_default="")
    location_key = fields.TextField(db_default="")
    starts_key = fields.DatetimeField(db_default=NEVER)

    class Meta:
        table = "events"
        indexes = (
            Index(fields=("created_at", "id"), name="events_newest"),
            Index(fields=("creator_id", "created_at", "id"), name="events_newest_of_creator"),
            Index(fields=("starts_key", "id"), name="events_soonest"),
            Index(fields=("title_key", "id"), name="events_by_title"),
            Index(fields=("confirmed_count", "id"), name="events_by_confirmed"),
        )

    computed: ClassVar = {"relevance": "{t}.relevance"}  # in lists of a search alone: see models/search.py

    @classmethod
    async def publish(
        cls,
        said: EventInput,
        *,
        creator_id: str,
        now: datetime,
        key: str | None = None,
        paths: Sequence[str] = ("id",),
    ) -> Row:
        """The new event's fields; with an idempotency key that was used before, those of the event made then.

        `now` is aware and in UTC. Raises ValidationFailed, KeyReused, TokenRevoked where the creator is gone, and
        NotFound where the key's event is.
        """
        values, user_id, event_id = checked(vars(said)), UUID(creator_id), uuid7()
        alone = told_statement if key is None and dialect() == "postgres" else told_transaction
        try:
            async with alone() as told:
                if key is not None:
                    first = await IdempotencyKey.claim(key, values, user_id=user_id, event_id=event_id, now=now)
                    if first != event_id:
                        return await cls.found(str(first), paths)
                kept = {**_NEW, "created_at": now, "updated_at": now, **values, **_keys(values)}
                row = {**kept, "id": str(event_id), "creator": {"id": creator_id}}
                told.append(EventChanged(ChangeKind.CREATED, str(event_id), None, row))
                others = [EventTag.added(event_id, values["tags"]), EventText.added(event_id, values)]
                (made,) = await add(cls, {"id": event_id, "creator_id": user_id, **kept}, others, paths)
                return made
        except IntegrityError:
            raise TokenRevoked from None  # the account was deleted since its token was looked at

    @classmethod
    async def amend(
        cls,
        event_id: str,
        given: Mapping[str, Any],
        *,
        editor_id: str,
        now: datetime,
        if_version: int | None = None,
        paths: Sequence[str] = ("id",),
    ) -> Row:
        """Changes the fields given, by their columns' names; where nothing differs, the version stays.

        Raises NotFound, Forbidden, EventCancelled, Conflict, ValidationFailed, CapacityBelowConfirmed.
        """
        from models.rsvp import Rsvp  # which stands on this file

        async with told_transaction(as_key(event_id)) as told:
            event = await cls.locked(event_id)
            event.refuse_others(editor_id)
            event.refuse_if_cancelled()
            if if_version is not None and if_version != event.version:
                raise Conflict(event.version)
            values = checked(given, kept={name: getattr(event, name) for name in DETAILS})
            changed = {name: value for name, value in values.items() if value != getattr(event, name)}
            if changed:
                if "capacity" in changed:
                    event.refuse_below_confirmed(changed["capacity"])
                await event.change(told, ChangeKind.UPDATED, now, **changed, **_keys(changed))
                if "tags" in changed:
                    await EventTag.filter(event_id=event.id).delete()
                    await EventTag.write(event.id, event.tags)
                if SEARCHED & changed.keys():
                    await EventText.write(event.id, event.row)
                await Rsvp.settle(event, told, now)
            return await cls.found(event_id, paths)

    @classmethod
    async def cancel(cls, event_id: str, *, editor_id: str, now: datetime, paths: Sequence[str] = ("id",)) -> Row:
        """Saying it again changes nothing. Raises NotFound, Forbidden."""
        async with told_transaction(as_key(event_id)) as told:
            event = await cls.locked(event_id)
            event.refuse_others(editor_id)
            if not event.is_cancelled:
                await event.change(told, ChangeKind.CANCELLED, now, status=EventStatus.CANCELLED.value)
            return await cls.found(event_id, paths)

    @classmethod
    async def remove(cls, event_id: str, *, editor_id: str) -> str:
        """Deletes the event with its tags and places; its id, as it is shown. Raises NotFound, Forbidden."""
        async with told_transaction(as_key(event_id)) as told:
            event = await cls.locked(event_id)
            event.refuse_others(editor_id)
            await event.go(told)
        return str(event.id)

    @classmethod
    async def read(cls, event_id: str, paths: Sequence[str]) -> Row | None:
        """The event's fields, or None where there is no such event."""
        rows = await cls.rows(event_id, paths)
        return rows[0] if rows else None

    @classmethod
    async def rows(cls, event_id: str, paths: Sequence[str]) -> Rows:
        """The event's row; none where there is no such event."""
        key = as_key(event_id)
        return await select(cls, paths, Condition("t.id = ?", (key,))) if key else NO_ROWS

    @classmethod
    async def found(cls, event_id: str, paths: Sequence[str]) -> Row:
        """The event's fields. Raises NotFound.

        What changes an event reads its answer so, inside the transaction: read afterwards, on another connection, it
        could be UNAVAILABLE, which says that nothing was done.
        """
        row = await cls.read(event_id, paths)
        if row is None:
            raise NotFound("event")
        return row

    @classmethod
    async def locked(cls, event_id: str) -> "Event":
        """The event, which nobody else changes before this transaction ends. Raises NotFound."""
        key = as_key(event_id)
        # On SQLite the whole database is the transaction's, from its first statement on.
        event = await cls.filter(id=key).select_for_update().get_or_none() if key else None
        if event is None:
            raise NotFound("event")
        return event

    async def change(self, told: list[Change], kind: ChangeKind, now: datetime, **columns: Any) -> None:
        """A new version of the locked event, with these columns."""
        await self.write(told, kind, version=self.version + 1, updated_at=now, **columns)

    async def go(self, told: list[Change]) -> None:
        """The locked event is no more."""
        await self.delete()
        told.append(EventChanged(ChangeKind.DELETED, str(self.id), self.row, None))

    async def write(self, told: list[Change], kind: ChangeKind, **columns: Any) -> None:
        """The locked event with these columns, told of after the commit."""
        before = self.row
        self.update_from_dict(columns)
        await self.save(update_fields=columns)
        told.append(EventChanged(kind, str(self.id), before, self.row))

    @property
    def row(self) -> Row:
        """All that stands in its row, as `read` gives it."""
        row = {name: getattr(self, name) for name in self._meta.db_fields if name != "creator_id"}
        return {**row, "id": str(self.id), "creator": {"id": str(self.creator_id)}}

    @property
    def is_cancelled(self) -> bool:
        return self.status == EventStatus.CANCELLED

    def refuse_others(self, editor_id: str) -> None:
        if str(self.creator_id) != editor_id:
            raise Forbidden("Only its creator may do this to the event.")

    def refuse_if_cancelled(self) -> None:
        if self.is_cancelled:
            raise EventCancelled

    def refuse_below_confirmed(self, capacity: int | None) -> None:
        if capacity is not None and capacity < self.confirmed_count:
            raise CapacityBelowConfirmed(capacity, self.confirmed_count)


def as_key(event_id: str) -> UUID | None:
    """The id as it is stored; None where no event can have it."""
    try:
        return UUID(event_id)
    except ValueError:
        return None


def _keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that follow from those given."""
    keys: dict[str, Any] = {}
    if "title" in values:
        keys["title_key"] = fold(values["title"])[:TITLE_KEY_LONGEST]
    if "location" in values:
        keys["location_key"] = fold(values["location"])
    if "starts_at" in values:
        keys["starts_key"] = values["starts_at"] or NEVER  # without a start: later than every date
    return keys
