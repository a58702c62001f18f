"""Places at events: seats, and the line for them."""

from collections.abc import Awaitable, Sequence
from typing import Self

import strawberry

import models
from executor import FromRow, Selection, selection
from models import Row, RsvpStatus
from schema.connection import Connection
from schema.context import Info, Loader
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
    def of_viewer(cls, viewer_id: str, event_id: str, info: Info) -> Self | Awaitable[Self | None] | None:
        """The viewer's place at the event; those of many events, asked for at once, are read in one statement."""
        places = cls._places(viewer_id, selection(info), info)
        known = places.known(event_id)
        if known is None:
            return cls._once_loaded(places.load(event_id))
        row = known.result()
        return cls.of(row) if row else None

    @classmethod
    async def read_ahead(cls, viewer_id: str, event_ids: Sequence[str], asked: Selection, info: Info) -> None:
        """Has `of_viewer` know the places at these events: it need not wait then, which would take a task for each."""
        rows = await models.Rsvp.of_viewer(event_ids, viewer_id, asked.paths(cls))
        cls._places(viewer_id, asked, info).prime_many(dict(zip(event_ids, rows, strict=True)))

    @classmethod
    def _places(cls, viewer_id: str, asked: Selection, info: Info) -> Loader:
        paths = asked.paths(cls)

        async def load(event_ids: list[str]) -> list[Row | None]:
            return await models.Rsvp.of_viewer(event_ids, viewer_id, paths)

        return info.context.loader(("places", paths), load)

    @classmethod
    async def _once_loaded(cls, place: Awaitable[Row | None]) -> Self | None:
        row = await place
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
