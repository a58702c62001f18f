"""The same without GraphQL, as FastAPI's tutorial has it: a route for each thing, pydantic's models for what comes and
goes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from tortoise.contrib.fastapi import RegisterTortoise

from bench.rivals.tables import MODELS, Event, User, create_event, tortoise_url, user_of


class Spoken(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class UserOut(Spoken):
    id: UUID
    username: str


class EventListed(Spoken):
    id: UUID
    title: str
    description: str
    location: str
    tags: list[str]
    starts_at: datetime | None
    created_at: datetime
    creator: UserOut

    @classmethod
    def of(cls, event: Event) -> Self:
        creator = UserOut.model_validate(event.creator)
        named = {name: getattr(event, name) for name in cls.model_fields if name not in {"tags", "creator"}}
        return cls(**named, tags=sorted(tag.name for tag in event.tags), creator=creator)


class EventOut(EventListed):
    image: str | None
    ends_at: datetime | None
    time_zone: str | None
    status: str
    capacity: int | None
    confirmed_count: int
    waitlist_count: int
    version: int
    updated_at: datetime


class EventIn(Spoken):
    title: str
    description: str
    tags: list[str]
    location: str
    starts_at: datetime | None = None
    time_zone: str | None = None


async def signed_in(authorization: Annotated[str | None, Header()] = None) -> User:
    return await user_of(authorization)


async def read_events(first: int = 20) -> list[EventListed]:
    events = await Event.all().order_by("-created_at").limit(first).prefetch_related("tags", "creator")
    return [EventListed.of(event) for event in events]


async def read_event(id: UUID) -> EventOut:
    event = await Event.get_or_none(id=id).prefetch_related("tags", "creator")
    if event is None:
        raise HTTPException(404)
    return EventOut.of(event)


async def write_event(said: EventIn, user: Annotated[User, Depends(signed_in)]) -> EventListed:
    return EventListed.of(await create_event(user, **dict(said)))


def create_app(database_url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with RegisterTortoise(app, db_url=tortoise_url(database_url), modules=MODELS, use_tz=True):
            yield

    app = FastAPI(lifespan=lifespan)
    app.get("/events")(read_events)
    app.get("/events/{id}")(read_event)
    app.post("/events")(write_event)
    return app
