"""Events published, changed, cancelled and deleted."""

from typing import Any

import strawberry
from strawberry import Maybe

import models
from executor import selection
from schema.context import Info
from schema.event import Event
from schema.permissions import IsAuthenticated
from schema.scalars import URL, DateTime, TimeZone


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
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="The same key from the same user within 24 hours answers with the first result and makes no second"
        " event.",
    )


@strawberry.input(description="Left out: unchanged. Null: cleared, where the event's field may be null.")
class UpdateEventInput:
    title: Maybe[str | None]
    image: Maybe[URL | None]
    description: Maybe[str | None]
    tags: Maybe[list[str] | None]
    location: Maybe[str | None]
    starts_at: Maybe[DateTime | None]
    ends_at: Maybe[DateTime | None]
    time_zone: Maybe[TimeZone | None]
    capacity: Maybe[int | None]
    if_version: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were not left out."""
        return {name: said.value for name, said in vars(self).items() if name != "if_version" and said is not None}


@strawberry.type
class DeleteEventPayload:
    deleted_id: strawberry.ID


@strawberry.type
class EventMutation:
    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="Guarded by IsAuthenticated. The creator is the token's user: no input names one.",
    )
    async def create_event(self, info: Info, input: CreateEventInput) -> Event | None:
        viewer = await info.context.viewer()
        said = vars(input).copy()
        key = said.pop("idempotency_key")
        row = await models.Event.publish(
            models.EventInput(**said), creator_id=viewer.id, now=info.context.now, key=key, paths=_paths(info)
        )
        return Event.of(row)

    @strawberry.mutation(
        permission_classes=[IsAuthenticated], description="For its creator alone, as are the next two."
    )
    async def update_event(self, info: Info, id: strawberry.ID, input: UpdateEventInput) -> Event | None:
        viewer = await info.context.viewer()
        row = await models.Event.amend(
            id,
            input.given,
            editor_id=viewer.id,
            now=info.context.now,
            if_version=input.if_version,
            paths=_paths(info),
        )
        return Event.of(row)

    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="The event stays, and takes no update any more. Saying it again changes nothing.",
    )
    async def cancel_event(self, info: Info, id: strawberry.ID) -> Event | None:
        viewer = await info.context.viewer()
        row = await models.Event.cancel(id, editor_id=viewer.id, now=info.context.now, paths=_paths(info))
        return Event.of(row)

    @strawberry.mutation(permission_classes=[IsAuthenticated], description="The event goes, with all its places.")
    async def delete_event(self, info: Info, id: strawberry.ID) -> DeleteEventPayload | None:
        viewer = await info.context.viewer()
        deleted_id = await models.Event.remove(id, editor_id=viewer.id)
        return DeleteEventPayload(deleted_id=strawberry.ID(deleted_id))


def _paths(info: Info) -> tuple[str, ...]:
    return selection(info).paths(Event)
