"""Places at events: seats, and the line for them."""

from typing import Self

import strawberry

import models
from executor import FromRow, selection
from models import Row, RsvpStatus
from schema.connection import Connection
from schema.context import Info
from schema.event import Event, User
from schema.permissions import IsAuthenticated
from schema.scalars import DateTime

strawberry.enum(RsvpStatus)


@strawberry.type
class Rsvp(FromRow):
    id: strawberry.ID
    event: Event
    user: User
    status: RsvpStatus
    waitlist_position: int | None = strawberry.field(description="1 is next; null unless waitlisted.")
    updated_at: DateTime

    @classmethod
    async def of_viewer(cls, viewer_id: str, event_id: str, info: Info) -> Self | None:
        """The viewer's place at the event; those of many events, asked for at once, are read in one statement."""
        paths = selection(info).paths(cls)

        async def load(event_ids: list[str]) -> list[Row | None]:
            return await models.Rsvp.of_viewer(event_ids, viewer_id, paths)

        row = await info.context.loader(("places", paths), load).load(event_id)
        return cls.of(row) if row else None

    @classmethod
    async def read(cls, rsvp_id: str, info: Info) -> Self | None:
        row = await models.Rsvp.read(rsvp_id, selection(info).paths(cls))
        return cls.of(row) if row else None


@strawberry.type
class RsvpConnection(Connection[Rsvp]):
    pass


@strawberry.type
class RsvpMutation:
    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="Takes a seat, or a place on the waitlist where the event is full."
        " Saying it again changes nothing.",
    )
    async def rsvp(self, info: Info, event_id: strawberry.ID) -> Rsvp | None:
        viewer = await info.context.viewer()
        paths = selection(info).paths(Rsvp)
        return Rsvp.of(await models.Rsvp.take(event_id, user_id=viewer.id, now=info.context.now, paths=paths))

    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="Gives the seat up; the first on the waitlist takes it in the same transaction.",
    )
    async def cancel_rsvp(self, info: Info, event_id: strawberry.ID) -> Rsvp | None:
        viewer = await info.context.viewer()
        paths = selection(info).paths(Rsvp)
        return Rsvp.of(await models.Rsvp.give_up(event_id, user_id=viewer.id, now=info.context.now, paths=paths))
