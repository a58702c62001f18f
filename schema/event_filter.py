"""How events are found: the inputs that say which, and in which order. What they mean: models/filters.py."""

from __future__ import annotations

from typing import Any

import strawberry

import models
from models import EventOrderField, EventStatus, Mine, OrderDirection
from schema.context import Info
from schema.scalars import DateTime

strawberry.enum(Mine, name="MyEvents")
strawberry.enum(EventOrderField)
strawberry.enum(OrderDirection)


@strawberry.input(description="From an instant on, and before another; either end may be left open.")
class DateTimeRange:
    from_: DateTime | None = strawberry.field(name="from", default=None)
    before: DateTime | None = None


@strawberry.input(description="All the conditions given hold together. Null says as little as what is left out.")
class EventFilter:
    tags_any: list[str] | None = strawberry.field(
        description="One of these tags at least, in any case: none, if the list is empty.", default=None
    )
    tags_all: list[str] | None = strawberry.field(description="Every one of these tags, in any case.", default=None)
    location: str | None = strawberry.field(description="Stands in the location, in any case.", default=None)
    creator: strawberry.ID | None = None
    starts_at: DateTimeRange | None = strawberry.field(
        description="An event without a start is in no range.", default=None
    )
    created_at: DateTimeRange | None = None
    status: list[EventStatus] | None = strawberry.field(description="One of these; left out, any.", default=None)
    has_seats: bool | None = strawberry.field(
        description="Whether a seat is free, as it always is without a capacity.", default=None
    )
    mine: Mine | None = strawberry.field(
        description="What the viewer organises, or attends with a confirmed place: UNAUTHENTICATED without one.",
        default=None,
    )

    async def checked(self, info: Info) -> models.EventFilter:
        """The same as the models know it. Raises ValidationFailed, and on `mine` what Context.viewer raises."""
        viewer_id = (await info.context.viewer()).id if self.mine else None
        said: dict[str, Any] = dict(vars(self))
        for name in ("starts_at", "created_at"):
            if said[name] is not None:
                said[name] = {"from": said[name].from_, "before": said[name].before}
        return models.EventFilter.of(said, viewer_id)


@strawberry.input
class EventOrder:
    field: EventOrderField
    direction: OrderDirection = OrderDirection.ASC


NEWEST_FIRST = EventOrder(field=EventOrderField.CREATED_AT, direction=OrderDirection.DESC)
