"""The works, as the limit does them; postgresql.py and sqlite.py have the statements."""

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from models.event import NEVER
from models.search import folded, grams, texts
from models.text import fold, instant

NODE = "e.id, e.title, e.description, e.location, e.tags, e.starts_at, e.created_at, e.creator_id, u.username"
WHOLE = (
    "e.id, e.title, e.image, e.description, e.location, e.tags, e.starts_at, e.ends_at, e.time_zone, e.status,"
    " e.capacity, e.confirmed_count, e.waitlist_count, e.version, e.created_at, e.updated_at, e.creator_id, u.username"
)
_WHOLE_FIELDS = (
    *("id", "title", "image", "description", "location", "tags", "startsAt", "endsAt", "timeZone", "status"),
    *("capacity", "confirmedCount", "waitlistCount", "version", "createdAt", "updatedAt"),
)
NEWEST = "ORDER BY e.created_at DESC, e.id DESC LIMIT"
SEAT = "waitlist_count = 0 AND (capacity IS NULL OR confirmed_count < capacity)"


@dataclass(frozen=True)
class Asked:
    variables: Any
    user_and_session: tuple[UUID, UUID] | None

    @property
    def signed_in(self) -> tuple[UUID, UUID]:
        """Raises ValueError without a token."""
        if self.user_and_session is None:
            raise ValueError("There is no token.")
        return self.user_and_session

    @property
    def place(self) -> tuple[datetime, str] | None:
        """The instant and the id that the cursor holds, if there is one. Its digest is not looked at."""
        if not (after := self.variables["after"]):
            return None
        at, id_ = orjson.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))[9:])
        return datetime.fromisoformat(at), id_


@dataclass(frozen=True)
class Searched:
    grams: list[str]
    longer: list[str]  # words of which the grams alone say too little

    @classmethod
    def of(cls, said: str) -> "Searched":
        words = folded(said).split()
        found = {gram for word in words for gram in grams([word]) if len(gram) == 2 or len(word) == 1}
        return cls(sorted(found), [word for word in words if len(word) > 2])


@dataclass(frozen=True)
class NewEvent:
    """An input as it is kept: what the planner writes of it, without its checks."""

    said: dict[str, Any]

    def columns(self) -> tuple[Any, ...]:
        """title, description, tags, location, starts_at, time_zone, title_key, location_key, starts_key."""
        said = self.said
        starts = instant(said["startsAt"]) if said.get("startsAt") else None
        return (
            *(said["title"], said["description"], said["tags"], said["location"], starts, said.get("timeZone")),
            *(fold(said["title"]), fold(said["location"]), starts or NEVER),
        )

    def tag_keys(self) -> list[str]:
        return [fold(tag) for tag in self.said["tags"]]

    def texts(self, dialect: str) -> list[Any]:
        """title, tags, rest, grams."""
        return texts(self.said, dialect)


class Answers(ABC):
    """Each answers with what stands below `data`."""

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def typename(self, asked: Asked) -> Any:
        return {"__typename": "Query"}

    @abstractmethod
    async def one_event(self, asked: Asked) -> Any: ...

    @abstractmethod
    async def events(self, asked: Asked) -> Any: ...

    @abstractmethod
    async def page(self, asked: Asked) -> Any: ...

    @abstractmethod
    async def viewers_events(self, asked: Asked) -> Any: ...

    @abstractmethod
    async def search(self, asked: Asked) -> Any: ...

    @abstractmethod
    async def count(self, asked: Asked) -> Any: ...

    @abstractmethod
    async def create_event(self, asked: Asked) -> Any: ...

    @abstractmethod
    async def rsvp(self, asked: Asked) -> Any: ...


def node(
    id_: str,
    title: str,
    description: str,
    location: str,
    tags: Any,
    starts_at: Any,
    created_at: Any,
    creator_id: str,
    username: str,
) -> dict[str, Any]:
    """A row of NODE. What orjson writes may stand for tags and instants."""
    return {
        "id": id_,
        "title": title,
        "description": description,
        "location": location,
        "tags": tags,
        "startsAt": starts_at,
        "createdAt": created_at,
        "creator": {"id": creator_id, "username": username},
    }


def connection(rows: Iterable[Iterable[Any]]) -> dict[str, Any]:
    return {"events": {"nodes": [node(*row) for row in rows]}}


def viewers_node(*columns: Any) -> dict[str, Any]:
    """A row of NODE, with whether the viewer may edit it, and the id and status of the viewer's place."""
    *event, can_edit, rsvp_id, status = columns
    place = {"id": rsvp_id, "status": status} if rsvp_id else None
    return {**node(*event), "canEdit": can_edit, "myRsvp": place}


def whole(row: Iterable[Any]) -> dict[str, Any]:
    """A row of WHOLE."""
    *values, creator_id, username = row
    creator = {"id": creator_id, "username": username}
    return {**dict(zip(_WHOLE_FIELDS, values, strict=True)), "creator": creator}
