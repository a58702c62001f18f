"""The same, written as the tutorials of FastAPI, Strawberry and Tortoise write it: `prefetch_related`, Strawberry's own
router and types."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self

import strawberry
from fastapi import FastAPI, Request
from strawberry.fastapi import GraphQLRouter
from strawberry.types import Info
from tortoise.contrib.fastapi import RegisterTortoise

from bench.rivals.tables import MODELS, Event, create_event, tortoise_url, user_of


@strawberry.type(name="User")
class UserType:
    id: strawberry.ID
    username: str


@strawberry.type(name="Event")
class EventType:
    id: strawberry.ID
    title: str
    image: str | None
    description: str
    location: str
    tags: list[str]
    starts_at: datetime | None
    ends_at: datetime | None
    time_zone: str | None
    status: str
    capacity: int | None
    confirmed_count: int
    waitlist_count: int
    version: int
    created_at: datetime
    updated_at: datetime
    creator: UserType

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(
            id=strawberry.ID(str(event.id)),
            title=event.title,
            image=event.image,
            description=event.description,
            location=event.location,
            tags=sorted(tag.name for tag in event.tags),
            starts_at=event.starts_at,
            ends_at=event.ends_at,
            time_zone=event.time_zone,
            status=event.status,
            capacity=event.capacity,
            confirmed_count=event.confirmed_count,
            waitlist_count=event.waitlist_count,
            version=event.version,
            created_at=event.created_at,
            updated_at=event.updated_at,
            creator=UserType(id=strawberry.ID(str(event.creator.id)), username=event.creator.username),
        )


@strawberry.type
class EventConnection:
    nodes: list[EventType]


@strawberry.input
class CreateEventInput:
    title: str
    description: str
    tags: list[str]
    location: str
    starts_at: datetime | None = None
    time_zone: str | None = None


@strawberry.type
class Query:
    @strawberry.field
    async def event(self, id: strawberry.ID) -> EventType | None:
        event = await Event.get_or_none(id=id).prefetch_related("tags", "creator")
        return EventType.of(event) if event else None

    @strawberry.field
    async def events(self, first: int = 20) -> EventConnection:
        events = await Event.all().order_by("-created_at").limit(first).prefetch_related("tags", "creator")
        return EventConnection(nodes=[EventType.of(event) for event in events])


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_event(self, info: Info, input: CreateEventInput) -> EventType:
        request: Request = info.context["request"]
        user = await user_of(request.headers.get("authorization"))
        return EventType.of(await create_event(user, **vars(input)))


def create_app(database_url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with RegisterTortoise(app, db_url=tortoise_url(database_url), modules=MODELS, use_tz=True):
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(GraphQLRouter(strawberry.Schema(query=Query, mutation=Mutation)), prefix="/graphql")
    return app
