"""Changes as they happen. Which of them a subscriber is told of is for models/watch.py to say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import strawberry

import models
from executor import selection
from models import Row
from models.changes import ChangeKind, EventChanged, RsvpChanged
from models.watch import Watch
from schema.context import Info
from schema.event import Event
from schema.event_filter import EventFilter
from schema.permissions import IsAuthenticated
from schema.rsvp import Rsvp

strawberry.enum(ChangeKind)


@strawberry.type
class EventChange:
    kind: ChangeKind
    event_id: strawberry.ID
    row: strawberry.Private[Row | None]

    @strawberry.field(description="As the change left it. Null when deleted.")
    async def event(self, info: Info) -> Event | None:
        row = self.row
        # The change carries all of the event but its creator's name.
        if row and "creator.username" in selection(info).paths(Event):
            username = await info.context.live.username(row["creator"]["id"])
            # No name: the account has been deleted, and its events with it.
            row = {**row, "creator": {**row["creator"], "username": username}} if username else None
        return Event.of(row) if row else None

    @classmethod
    def of(cls, change: EventChanged) -> EventChange:
        return cls(kind=change.kind, event_id=strawberry.ID(change.event_id), row=change.after)


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="Takes the same filter as Query.events and the calendar feeds. Told is what the filter holds for"
        " before the change or after it: an event that leaves the filter is told of once more."
    )
    async def event_changed(self, info: Info, filter: EventFilter | None = None) -> AsyncIterator[EventChange]:
        context = info.context
        watch = Watch(await filter.checked(info) if filter else models.EventFilter())
        with context.live.events(watch.may_want, attended_by=watch.viewer_id) as heard:
            await watch.open()
            async for change in heard:
                if watch.wants(change) and isinstance(change, EventChanged):
                    context.renew()
                    if watch.is_private:
                        await context.viewer()  # asked anew: the session may have ended since
                    yield EventChange.of(change)

    @strawberry.subscription(
        permission_classes=[IsAuthenticated],
        description="The viewer's own, such as a promotion from the waitlist. Guarded.",
    )
    async def my_rsvp_changed(self, info: Info) -> AsyncIterator[Rsvp]:
        context = info.context
        viewer = await context.viewer()
        with context.live.places_of(viewer.id) as heard:
            async for change in heard:
                assert isinstance(change, RsvpChanged)  # noqa: S101 - nothing else is told of places
                context.renew()
                await context.viewer()  # private, so asked anew: the session may have ended since
                place = await Rsvp.read(change.rsvp_id, info)
                if place:  # else its event has been deleted
                    yield place
