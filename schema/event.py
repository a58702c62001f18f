"""Events, and what everybody may see of the users who publish them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

import models
from errors import Forbidden, Unauthenticated
from executor import FromRow, Selection, reads, selection, the_one
from models import EventList, EventStatus, Row, Rows, RsvpList, RsvpStatus
from schema.connection import PAGE, Connection, page_request
from schema.context import Context, Info
from schema.event_filter import NEWEST_FIRST, EventFilter, EventOrder
from schema.scalars import URL, DateTime, TimeZone

if TYPE_CHECKING:
    from schema.rsvp import Rsvp, RsvpConnection

strawberry.enum(EventStatus)


@strawberry.type(description="What everybody may see of a user.")
class User(FromRow):
    id: strawberry.ID
    username: str

    @strawberry.field(description="The events that the user publishes, newest first. first is 1 to 100.")
    async def events(self, info: Info, first: int | None = PAGE, after: str | None = None) -> EventConnection:
        return await EventConnection.of(EventList.of_creator(self.id), page_request(first, after), info, Event)


@strawberry.type
class Event(FromRow):
    id: strawberry.ID
    title: str
    image: URL | None
    description: str
    tags: list[str]
    location: str
    creator: User
    starts_at: DateTime | None
    ends_at: DateTime | None
    time_zone: TimeZone | None
    status: EventStatus
    capacity: int | None = strawberry.field(description="Null means without limit.")
    confirmed_count: int
    waitlist_count: int
    version: int = strawberry.field(description="Send it back as ifVersion to refuse a lost update.")
    created_at: DateTime
    updated_at: DateTime

    @strawberry.field(description="Null means without limit.", metadata=reads("capacity", "confirmed_count"))
    def seats_left(self) -> int | None:
        return None if self.capacity is None else self.capacity - self.confirmed_count

    @strawberry.field(description="A calendar of this event alone.")
    def ics_url(self, info: Info) -> URL:
        return URL(info.context.links.event(self.id))

    @strawberry.field(
        description="Whether the viewer may update or cancel it.",
        metadata=reads("creator.id", "status", before=Context.meet_viewer),
    )
    def can_edit(self, info: Info) -> bool:
        return self._is_the_viewers(info) and self.status == EventStatus.SCHEDULED

    @strawberry.field(
        description="The viewer's place, also one given up; null where there never was one.",
        metadata=reads(before=Context.meet_viewer),
    )
    def my_rsvp(self, info: Info) -> Annotated[Rsvp, strawberry.lazy("schema.rsvp")] | None:
        from schema.rsvp import Rsvp  # which stands on this file

        viewer = info.context.known_viewer
        place: Any = Rsvp.of_viewer(viewer.id, self.id, info) if viewer else None
        return place  # type: ignore[no-any-return]  # or a coroutine, which the executor awaits

    @classmethod
    async def look_ahead(cls, rows: Rows, asked: Selection, info: Info) -> None:
        from schema.rsvp import Rsvp  # which stands on this file

        if "myRsvp" in asked and (viewer := info.context.known_viewer):
            await Rsvp.read_ahead(viewer.id, rows.column("id"), asked["myRsvp"], info)

    @strawberry.field(
        description="Events that the viewer organises or attends and that overlap this one. One without an end lasts"
        " no time.",
        metadata=reads("starts_at", "ends_at", before=Context.meet_viewer),
    )
    async def clashes(self, info: Info) -> list[Event]:
        viewer = info.context.known_viewer
        if viewer is None:
            return []
        paths = selection(info).paths(Event)

        async def load(events: list[models.Span]) -> list[list[Row]]:
            return await models.clashes(events, viewer.id, paths)

        held = vars(self)  # where DateTime's values are still instants: the type says how they are written
        span = models.Span(self.id, held["starts_at"], held["ends_at"])
        return [Event.of(row) for row in await info.context.loader(("clashes", paths), load).load(span)]

    @strawberry.field(
        description="Who holds a place, first come first; with a status, whose place has it."
        " For the organiser only: FORBIDDEN and null for others.",
        metadata=reads("creator.id", before=Context.meet_viewer),
    )
    async def attendees(
        self, info: Info, status: RsvpStatus | None = None, first: int | None = PAGE, after: str | None = None
    ) -> Annotated[RsvpConnection, strawberry.lazy("schema.rsvp")] | None:
        from schema.rsvp import Rsvp, RsvpConnection  # which stand on this file

        if not self._is_the_viewers(info):
            with suppress(Unauthenticated):
                await info.context.viewer()  # a token that is no longer good says so: its owner may be the creator
            raise Forbidden("Only its creator may see who attends the event.")
        return await RsvpConnection.of(RsvpList.at_event(self.id, status), page_request(first, after), info, Rsvp)

    def _is_the_viewers(self, info: Info) -> bool:
        viewer = info.context.known_viewer
        return viewer is not None and viewer.id == self.creator.id


@strawberry.type
class EventConnection(Connection[Event]):
    @strawberry.field(
        description="A calendar to subscribe to, of exactly this filter and search. With mine, the address is a secret"
        " of the viewer's: rotateCalendarUrl ends it."
    )
    async def ics_url(self, info: Info) -> URL:
        events: EventList = self.__dict__["_listing"]
        viewer_id = events.filter.viewer_id if events.filter.mine else None
        key = await models.User.calendar_key_of(viewer_id) if viewer_id else None
        return URL(info.context.links.list(events.filter, events.search, key))


@strawberry.type
class TagCount:
    tag: str
    count: int


async def _tag_counts(asked: list[tuple[str | None, int]]) -> list[Any]:
    """What each of the questions is answered, be it with a refusal. The loader asks equal ones once."""
    return await asyncio.gather(*(models.tag_counts(*one) for one in asked), return_exceptions=True)


@strawberry.type
class EventQuery:
    @strawberry.field
    async def event(self, info: Info, id: strawberry.ID) -> Event | None:
        rows = await models.Event.rows(id, selection(info).paths(Event))
        found: Event | None = the_one(rows, Event, info)
        return found

    @strawberry.field(
        description="Newest first unless ordered otherwise. first is 1 to 100. search looks in title, description,"
        " location and tags."
    )
    async def events(
        self,
        info: Info,
        filter: EventFilter | None = None,
        search: str | None = None,
        order_by: EventOrder | None = NEWEST_FIRST,
        first: int | None = PAGE,
        after: str | None = None,
    ) -> EventConnection:
        checked = await filter.checked(info) if filter else None
        order = models.EventOrder(order_by.field, order_by.direction) if order_by else None
        events = EventList.of(checked, search, order)
        return await EventConnection.of(events, page_request(first, after), info, Event)

    @strawberry.field(description="Tags in use, most used first, casefolded. first is 1 to 100.")
    async def tags(self, info: Info, starts_with: str | None = None, first: int | None = PAGE) -> list[TagCount]:
        asked = (starts_with, PAGE if first is None else first)
        return [TagCount(**row) for row in await info.context.loader("tags", _tag_counts).load(asked)]

    @strawberry.field
    async def user(self, info: Info, username: str) -> User | None:
        row = await models.User.read(username, selection(info).paths(User))
        return User.of(row) if row else None
