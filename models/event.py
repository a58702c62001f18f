"""An event: what may be published, and how it is found. All rules of an event's own fields are in this file."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import Model, fields
from tortoise.exceptions import IntegrityError
from tortoise.indexes import Index
from tortoise.transactions import in_transaction
from uuid6 import uuid7

from errors import TokenRevoked, ValidationFailed
from models.pages import Keyset, Page, PageRequest
from models.reads import Condition, Row, count_each, select, select_each
from models.tags import EventTag, TagList, fit_tags
from models.text import URL_LONGEST, Unfit, fit, fold, instant, time_zone, url
from models.user import User

TITLE_LONGEST = 200
DESCRIPTION_LONGEST = 10_000
LOCATION_LONGEST = 200
CAPACITY_LARGEST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class EventInput:
    """What a client says of an event: unchecked, addresses, instants and time zones still text."""

    title: str
    image: str | None = None
    description: str
    tags: list[str]
    location: str
    starts_at: str | None = None
    ends_at: str | None = None
    time_zone: str | None = None
    capacity: int | None = None

    def checked(self) -> dict[str, Any]:
        """The columns' values. Raises ValidationFailed, naming every wrong field at once."""
        wrong: dict[str, str] = {}

        def check(field: str, rule: Any, value: Any, **bounds: Any) -> Any:
            try:
                return None if value is None else rule(value, **bounds)
            except Unfit as reason:
                wrong[field] = str(reason)
                return None

        starts_at = check("startsAt", instant, self.starts_at)
        ends_at = check("endsAt", instant, self.ends_at)
        values = {
            "title": check("title", fit, self.title, shortest=1, longest=TITLE_LONGEST),
            "image": check("image", url, self.image),
            "description": check("description", fit, self.description, longest=DESCRIPTION_LONGEST, layout=True),
            "tags": check("tags", fit_tags, self.tags),
            "location": check("location", fit, self.location, longest=LOCATION_LONGEST),
            "starts_at": starts_at,
            "ends_at": ends_at,
            "time_zone": check("timeZone", time_zone, self.time_zone),
            "capacity": self.capacity,
        }
        if self.ends_at is not None and self.starts_at is None:
            wrong.setdefault("startsAt", "is needed where endsAt is given.")
        if starts_at and ends_at and ends_at <= starts_at:
            wrong.setdefault("endsAt", "must be after startsAt.")
        if (self.starts_at is not None or self.ends_at is not None) and self.time_zone is None:
            wrong.setdefault("timeZone", "is needed where startsAt or endsAt is given, such as Europe/Berlin.")
        if self.capacity is not None and not 1 <= self.capacity <= CAPACITY_LARGEST:
            wrong["capacity"] = f"must be from 1 to {CAPACITY_LARGEST}, or left out for no limit."
        if wrong:
            raise ValidationFailed(wrong)
        return values


class Event(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    creator: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name=False)
    title = fields.CharField(max_length=TITLE_LONGEST)
    image = fields.CharField(max_length=URL_LONGEST, null=True)
    description = fields.TextField()
    tags = TagList()
    location = fields.CharField(max_length=LOCATION_LONGEST)
    starts_at = fields.DatetimeField(null=True)
    ends_at = fields.DatetimeField(null=True)
    time_zone = fields.CharField(max_length=64, null=True)
    capacity = fields.IntField(null=True)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        table = "events"
        indexes = (
            Index(fields=("created_at", "id"), name="events_newest"),
            Index(fields=("creator_id", "created_at", "id"), name="events_newest_of_creator"),
        )

    @classmethod
    async def publish(cls, said: EventInput, *, creator_id: str, now: datetime) -> str:
        """The new event's id. `now` is aware and in UTC.

        Raises ValidationFailed, and TokenRevoked where the creator is gone.
        """
        values = said.checked()
        async with in_transaction():
            try:
                event = await cls.create(creator_id=UUID(creator_id), created_at=now, updated_at=now, **values)
            except IntegrityError:
                raise TokenRevoked from None  # the account was deleted since its token was looked at
            await EventTag.bulk_create(EventTag(key=fold(tag), event_id=event.id) for tag in event.tags)
        return str(event.id)

    @classmethod
    async def read(cls, event_id: str, paths: Sequence[str]) -> Row | None:
        """The event's fields, or None where there is no such event."""
        try:
            key = UUID(event_id)
        except ValueError:
            return None  # no event has such an id
        rows = await select(cls, paths, Condition("t.id = ?", (key,)))
        return rows[0] if rows else None


@dataclass(frozen=True)
class EventList:
    """The events that a condition holds for, newest first. `scope` names the list in its cursors."""

    where: Condition = Condition()
    scope: str = "events"

    @property
    def keyset(self) -> Keyset:
        return Keyset((("created_at", "DESC"), ("id", "DESC")), self.scope)

    @classmethod
    def of_creator(cls, user_id: str) -> "EventList":
        return cls(Condition("t.creator_id = ?", (UUID(user_id),)), scope=f"creator {user_id}")

    def refuse_foreign_cursor(self, cursor: str | None) -> None:
        """Raises ValidationFailed on `after`, where it is not a cursor of this list."""
        self.keyset.behind(cursor)

    @classmethod
    async def pages(cls, lists: Sequence["EventList"], paths: Sequence[str], request: PageRequest) -> list[Page]:
        """A page of each list, all read in one statement. The lists differ in their conditions' values alone."""
        wheres = [one.where & one.keyset.behind(request.after) for one in lists]
        one = lists[0]
        parts = await select_each(Event, one._with_keys(paths), wheres, one.keyset.order, request.limit)
        return [request.page(rows) for rows in parts]

    @classmethod
    async def counts(cls, lists: Sequence["EventList"]) -> list[int]:
        """How many events each list has, counted in one statement."""
        return await count_each(Event, [one.where for one in lists])

    def _with_keys(self, paths: Sequence[str]) -> list[str]:
        keys = [path for path, _ in self.keyset.order]
        return [*paths, *(key for key in keys if key not in paths)]
