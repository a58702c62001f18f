"""Events, and what everybody may see of the users who publish them."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import strawberry

import models
from models import EventList, Page, PageRequest, Row
from schema.connection import PAGE, PageInfo, page_request
from schema.context import Info
from schema.permissions import IsAuthenticated
from schema.scalars import URL, DateTime, TimeZone
from schema.selection import Selection, merged, selection


def _of_row(type_: type[Any], values: dict[str, Any]) -> Any:
    # Past __init__, which wants every field: a row holds those that were selected.
    made = object.__new__(type_)
    made.__dict__.update(values)
    return made


@strawberry.type(description="What everybody may see of a user.")
class User:
    id: strawberry.ID
    username: str

    @strawberry.field(description="The events that the user publishes, newest first. first is 1 to 100.")
    async def events(self, info: Info, first: int | None = PAGE, after: str | None = None) -> EventConnection:
        return await EventConnection.of(EventList.of_creator(self.id), page_request(first, after), info)

    @classmethod
    def of(cls, row: Row) -> Self:
        made: Self = _of_row(cls, row)
        return made

    @staticmethod
    def paths(asked: Selection) -> list[str]:
        """The columns of `models.User` that the selection needs."""
        return ["id", *(["username"] if "username" in asked else [])]


@strawberry.type
class Event:
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
    capacity: int | None = strawberry.field(description="Null means without limit.")
    created_at: DateTime
    updated_at: DateTime

    @classmethod
    def of(cls, row: Row) -> Self:
        values = {**row, "creator": User.of(row["creator"])} if "creator" in row else row
        made: Self = _of_row(cls, values)
        return made

    @staticmethod
    def paths(asked: Selection) -> list[str]:
        """The columns of `models.Event` that the selection needs."""
        found = [column for field, column in _COLUMNS.items() if field in asked]
        if "creator" in asked:
            found += [f"creator.{path}" for path in User.paths(asked["creator"])]
        return found


_COLUMNS = {
    "id": "id",
    "title": "title",
    "image": "image",
    "description": "description",
    "tags": "tags",
    "location": "location",
    "startsAt": "starts_at",
    "endsAt": "ends_at",
    "timeZone": "time_zone",
    "capacity": "capacity",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


@strawberry.type
class EventEdge:
    node: Event
    cursor: str


@strawberry.type
class EventConnection:
    edges: list[EventEdge]
    nodes: list[Event]
    page_info: PageInfo

    @strawberry.field(description="Counted only when selected.")
    async def total_count(self, info: Info) -> int:
        events: EventList = self.__dict__["_events"]
        count: int = await info.context.loader("event counts", EventList.counts).load(events)
        return count

    @classmethod
    async def of(cls, events: EventList, request: PageRequest, info: Info) -> Self:
        """A page of the list; the pages of many lists, asked for at once, are read in one statement."""
        asked = selection(info)
        events.refuse_foreign_cursor(request.after)
        if not asked.keys() & {"edges", "nodes", "pageInfo"}:
            return cls._of_page(events, Page([], has_next=False, has_previous=False), asked)
        wanted = merged(asked.get("nodes", {}), asked.get("edges", {}).get("node", {}))
        paths = tuple(Event.paths(wanted))

        async def load(lists: list[EventList]) -> list[Page]:
            return await EventList.pages(lists, paths, request)

        alike = (events.where.sql, paths, request)  # lists that one statement can read
        return cls._of_page(events, await info.context.loader(alike, load).load(events), asked)

    @classmethod
    def _of_page(cls, events: EventList, page: Page, asked: Selection) -> Self:
        values: dict[str, Any] = {"_events": events}
        nodes = [Event.of(row) for row in page.rows]
        if "nodes" in asked:
            values["nodes"] = nodes
        if "edges" in asked:
            cursors = (events.keyset.cursor(row) for row in page.rows)
            values["edges"] = [EventEdge(node=n, cursor=c) for n, c in zip(nodes, cursors, strict=True)]
        if "pageInfo" in asked:
            values["page_info"] = PageInfo.of(page, events.keyset)
        made: Self = _of_row(cls, values)
        return made


@strawberry.type
class TagCount:
    tag: str
    count: int


@strawberry.input(
    description="title, image, description, tags and location are the tutorial's fields; the rest is optional."
)
class CreateEventInput:
    title: str
    image: URL | None = None
    description: str
    tags: list[str]
    location: str
    starts_at: DateTime | None = None
    ends_at: DateTime | None = None
    time_zone: TimeZone | None = None
    capacity: int | None = None


async def _tag_counts(asked: list[tuple[str | None, int]]) -> list[Any]:
    """What each of the questions is answered, be it with a refusal. The loader asks equal ones once."""
    return await asyncio.gather(*(models.tag_counts(*one) for one in asked), return_exceptions=True)


@strawberry.type
class EventQuery:
    @strawberry.field
    async def event(self, info: Info, id: strawberry.ID) -> Event | None:
        row = await models.Event.read(id, Event.paths(selection(info)) or ["id"])
        return Event.of(row) if row else None

    @strawberry.field(description="Newest first. first is 1 to 100.")
    async def events(self, info: Info, first: int | None = PAGE, after: str | None = None) -> EventConnection:
        return await EventConnection.of(EventList(), page_request(first, after), info)

    @strawberry.field(description="Tags in use, most used first, casefolded. first is 1 to 100.")
    async def tags(self, info: Info, starts_with: str | None = None, first: int | None = PAGE) -> list[TagCount]:
        asked = (starts_with, PAGE if first is None else first)
        return [TagCount(**row) for row in await info.context.loader("tags", _tag_counts).load(asked)]

    @strawberry.field
    async def user(self, info: Info, username: str) -> User | None:
        row = await models.User.read(username, User.paths(selection(info)))
        return User.of(row) if row else None


@strawberry.type
class EventMutation:
    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="Guarded by IsAuthenticated. The creator is the token's user: no input names one.",
    )
    async def create_event(self, info: Info, input: CreateEventInput) -> Event | None:
        viewer = await info.context.viewer()
        said = models.EventInput(**vars(input))
        event_id = await models.Event.publish(said, creator_id=viewer.id, now=info.context.now)
        row = await models.Event.read(event_id, Event.paths(selection(info)) or ["id"])
        return Event.of(row) if row else None
