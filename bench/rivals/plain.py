"""The same list, written as the tutorials of FastAPI, Strawberry and Tortoise write it: a table of tags with a
many-to-many relation, `prefetch_related`, Strawberry's own router and types."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Self

import strawberry
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter
from tortoise import Model, Tortoise, fields
from tortoise.contrib.fastapi import RegisterTortoise

from bench.rivals import POOL_SIZE

FROM_OURS = """
    INSERT INTO plain_users SELECT id, username FROM users;
    INSERT INTO plain_tags (name) SELECT DISTINCT unnest(tags) FROM events;
    INSERT INTO plain_events (id, creator_id, title, description, location, starts_at, created_at)
        SELECT id, creator_id, title, description, location, starts_at, created_at FROM events;
    INSERT INTO plain_events_tags (event_id, tag_id)
        SELECT e.id, t.id FROM events e CROSS JOIN unnest(e.tags) AS given JOIN plain_tags t ON t.name = given;
"""


class User(Model):
    id = fields.UUIDField(primary_key=True)
    username = fields.CharField(max_length=50)

    class Meta:
        table = "plain_users"


class Tag(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=50, unique=True)

    class Meta:
        table = "plain_tags"


class Event(Model):
    id = fields.UUIDField(primary_key=True)
    creator: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name="events")
    tags: fields.ManyToManyRelation[Tag] = fields.ManyToManyField(
        "models.Tag", through="plain_events_tags", forward_key="tag_id", backward_key="event_id", related_name="events"
    )
    title = fields.CharField(max_length=200)
    description = fields.TextField()
    location = fields.CharField(max_length=200)
    starts_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(db_index=True)  # else PostgreSQL's sorting would be all that is measured

    class Meta:
        table = "plain_events"


@strawberry.type(name="User")
class UserType:
    id: strawberry.ID
    username: str


@strawberry.type(name="Event")
class EventType:
    id: strawberry.ID
    title: str
    description: str
    location: str
    tags: list[str]
    starts_at: datetime | None
    created_at: datetime
    creator: UserType

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(
            id=strawberry.ID(str(event.id)),
            title=event.title,
            description=event.description,
            location=event.location,
            tags=sorted(tag.name for tag in event.tags),
            starts_at=event.starts_at,
            created_at=event.created_at,
            creator=UserType(id=strawberry.ID(str(event.creator.id)), username=event.creator.username),
        )


@strawberry.type
class EventConnection:
    nodes: list[EventType]


@strawberry.type
class Query:
    @strawberry.field
    async def events(self, first: int = 20) -> EventConnection:
        events = await Event.all().order_by("-created_at").limit(first).prefetch_related("tags", "creator")
        return EventConnection(nodes=[EventType.of(event) for event in events])


def create_app(database_url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with RegisterTortoise(
            app,
            db_url=f"{database_url.replace('postgresql://', 'asyncpg://')}?maxsize={POOL_SIZE}",
            modules={"models": ["bench.rivals.plain"]},
            generate_schemas=True,
            use_tz=True,
        ):
            await Tortoise.get_connection("default").execute_script(FROM_OURS)
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(GraphQLRouter(strawberry.Schema(query=Query)), prefix="/graphql")
    return app
