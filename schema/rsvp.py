"""Places at events: seats, and the line for them."""

from typing import Self

import strawberry

import models
from models import Row, RsvpStatus
from schema.connection import Connection, of_row
from schema.context import Info
from schema.event import Event, User
from schema.permissions import IsAuthenticated
from schema.scalars import DateTime
from schema.selection import Selection, selection

strawberry.enum(RsvpStatus)


@strawberry.type
class Rsvp:
    id: strawberry.ID
    event: Event
    user: User
    status: RsvpStatus
    waitlist_position: int | None = strawberry.field(description="1 is next; null unless waitlisted.")
    updated_at: DateTime

    @classmethod
    async def of_viewer(cls, viewer_id: str, event_id: str, info: Info) -> Self | None:
        """The viewer's place at the event; those of many events, asked for at once, are read in one statement."""
        paths = tuple(cls.paths(selection(info)))

        async def load(event_ids: list[str]) -> list[Row | None]:
            return await models.Rsvp.of_viewer(event_ids, viewer_id, paths)

        row = await info.context.loader(("places", paths), load).load(event_id)
        return cls.of(row) if row else None

    @classmethod
    async def read(cls, rsvp_id: str, info: Info) -> Self | None:
        row = await models.Rsvp.read(rsvp_id, cls.paths(selection(info)))
        return cls.of(row) if row else None

    @classmethod
    def of(cls, row: Row) -> Self:
        values = dict(row)
        if "event" in row:
            values["event"] = Event.of(row["event"])
        if "user" in row:
            values["user"] = User.of(row["user"])
        made: Self = of_row(cls, values)
        return made

    @staticmethod
    def paths(asked: Selection) -> list[str]:
        """The columns of `models.Rsvp` that the selection needs: at least the id."""
        found = ["id", *(column for field, column in _COLUMNS.items() if field in asked)]
        for part, type_ in (("event", Event), ("user", User)):
            if part in asked:
                found += [f"{part}.{path}" for path in type_.paths(asked[part])]
        return found


_COLUMNS = {"status": "status", "waitlistPosition": "waitlist_position", "updatedAt": "updated_at"}


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
        paths = Rsvp.paths(selection(info))
        return Rsvp.of(await models.Rsvp.take(event_id, user_id=viewer.id, now=info.context.now, paths=paths))

    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="Gives the seat up; the first on the waitlist takes it in the same transaction.",
    )
    async def cancel_rsvp(self, info: Info, event_id: strawberry.ID) -> Rsvp | None:
        viewer = await info.context.viewer()
        paths = Rsvp.paths(selection(info))
        return Rsvp.of(await models.Rsvp.give_up(event_id, user_id=viewer.id, now=info.context.now, paths=paths))
