"""The limit on PostgreSQL: asyncpg, and one statement in one round trip for each work, also for those that write."""

# ruff: noqa: S608 - the statements are put together of what is written here and in answers.py, of no value

from datetime import UTC, datetime
from typing import Any

import asyncpg
from uuid6 import uuid7

from bench.rivals import POOL_SIZE
from bench.rivals.limit.answers import (
    NEWEST,
    NODE,
    SEAT,
    WHOLE,
    Answers,
    Asked,
    NewEvent,
    Searched,
    connection,
    node,
    viewers_node,
    whole,
)
from models.text import fold, instant

# The ids as text, since Python's UUID is dear to make and to write.
_NODE = NODE.replace("e.id", "e.id::text").replace("e.creator_id", "e.creator_id::text")
_WHOLE = WHOLE.replace("e.id", "e.id::text").replace("e.creator_id", "e.creator_id::text")
_JOINED = "events e JOIN users u ON u.id = e.creator_id"
_VIEWER = (
    "SELECT u.id, u.username FROM sessions s JOIN users u ON u.id = s.user_id"
    " WHERE s.id = $1 AND s.user_id = $2 AND s.refresh_expires_at > $3"
)
ONE = f"SELECT {_WHOLE} FROM {_JOINED} WHERE e.id = $1"
EVENTS = f"SELECT {_NODE} FROM {_JOINED} {NEWEST} $1"
BEHIND = f"SELECT {_NODE} FROM {_JOINED} WHERE (e.created_at, e.id) < ($1, $2) {NEWEST} $3"
VIEWERS_EVENTS = f"""
    SELECT {_NODE}, e.creator_id = v.id AND e.status = 'SCHEDULED', r.id::text, r.status
    FROM ({_VIEWER}) v CROSS JOIN {_JOINED} LEFT JOIN rsvps r ON r.event_id = e.id AND r.user_id = v.id
    {NEWEST} $4
"""
SEARCH = f"""
    SELECT {_NODE} FROM event_texts x JOIN events e ON e.id = x.event_id JOIN users u ON u.id = e.creator_id
    WHERE x.grams @> $1 AND (SELECT bool_and(strpos(x.title || ' ' || x.tags || ' ' || x.rest, word) > 0)
                             FROM unnest($2::text[]) word)
    {NEWEST} $3
"""
COUNT = "SELECT count(*) FROM event_tags t JOIN events e ON e.id = t.event_id WHERE t.key = $1 AND e.starts_at >= $2"
CREATE = f"""
    WITH viewer AS ({_VIEWER}),
    event AS (
        INSERT INTO events (id, creator_id, title, description, tags, location, starts_at, time_zone, title_key,
                            location_key, starts_key, created_at, updated_at)
        SELECT $4::uuid, v.id, $5, $6, $7::text[], $8, $9::timestamptz, $10, $11, $12, $13::timestamptz, $3, $3
        FROM viewer v RETURNING id
    ),
    tags AS (INSERT INTO event_tags (key, event_id) SELECT key, event.id FROM event, unnest($14::text[]) key),
    found AS (
        INSERT INTO event_texts (event_id, title, tags, rest, grams) SELECT id, $15, $16, $17, $18::text[] FROM event
    )
    SELECT v.username FROM viewer v, event
"""
# Where the place is held already, NULL ends the statement, and with it what it did to the event: see models/rsvp.py.
RSVP = f"""
    WITH viewer AS ({_VIEWER}),
    drawn AS (
        UPDATE events SET tickets = tickets + 1,
            confirmed_count = confirmed_count + CASE WHEN {SEAT} THEN 1 ELSE 0 END,
            waitlist_count = waitlist_count + CASE WHEN {SEAT} THEN 0 ELSE 1 END
        FROM viewer WHERE events.id = $4 AND status = 'SCHEDULED' RETURNING events.id, viewer.id AS user_id, tickets,
            CASE WHEN waitlist_count > 0 THEN 'WAITLISTED' ELSE 'CONFIRMED' END AS status
    )
    INSERT INTO rsvps (id, event_id, user_id, status, ticket, updated_at)
    SELECT $5::uuid, drawn.id, user_id, drawn.status, tickets, $3 FROM drawn
    ON CONFLICT (event_id, user_id) DO UPDATE SET ticket = excluded.ticket, updated_at = excluded.updated_at,
        status = CASE WHEN rsvps.status = 'CANCELLED' THEN excluded.status END
    RETURNING id::text, status
"""
HELD = "SELECT id::text, status FROM rsvps WHERE event_id = $1 AND user_id = $2"


class Connection(asyncpg.Connection):  # type: ignore[misc]  # published without types
    def get_reset_query(self) -> str:
        return ""  # nothing here changes the connection: the statement that would reset it costs a fifth of the answer


class PostgreSQL(Answers):
    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._database_url, min_size=1, max_size=POOL_SIZE, connection_class=Connection
        )

    async def close(self) -> None:
        await self._pool.close()

    async def one_event(self, asked: Asked) -> Any:
        return {"event": whole(await self._pool.fetchrow(ONE, asked.variables["id"]))}

    async def events(self, asked: Asked) -> Any:
        return connection(await self._pool.fetch(EVENTS, asked.variables["first"]))

    async def page(self, asked: Asked) -> Any:
        if place := asked.place:
            return connection(await self._pool.fetch(BEHIND, *place, 20))
        return connection(await self._pool.fetch(EVENTS, 20))

    async def viewers_events(self, asked: Asked) -> Any:
        user_id, session_id = asked.signed_in
        first = asked.variables["first"]
        rows = await self._pool.fetch(VIEWERS_EVENTS, session_id, user_id, datetime.now(UTC), first)
        return {"events": {"nodes": [viewers_node(*row) for row in rows]}}

    async def search(self, asked: Asked) -> Any:
        words = Searched.of(asked.variables["search"])
        return connection(await self._pool.fetch(SEARCH, words.grams, words.longer, 20))

    async def count(self, asked: Asked) -> Any:
        tag, since = asked.variables["tag"], instant(asked.variables["since"])
        return {"events": {"totalCount": await self._pool.fetchval(COUNT, fold(tag), since)}}

    async def create_event(self, asked: Asked) -> Any:
        (user_id, session_id), now, id_ = asked.signed_in, datetime.now(UTC), uuid7()
        said = asked.variables["input"]
        new = NewEvent(said)
        columns = new.columns()
        username = await self._pool.fetchval(
            CREATE, session_id, user_id, now, id_, *columns, new.tag_keys(), *new.texts("postgres")
        )
        title, description, tags, location, starts_at, *_ = columns
        creator = str(user_id), username
        return {"createEvent": node(str(id_), title, description, location, tags, starts_at, now, *creator)}

    async def rsvp(self, asked: Asked) -> Any:
        user_id, session_id = asked.signed_in
        event_id = asked.variables["id"]
        try:
            place = await self._pool.fetchrow(RSVP, session_id, user_id, datetime.now(UTC), event_id, uuid7())
        except asyncpg.NotNullViolationError:
            place = await self._pool.fetchrow(HELD, event_id, user_id)
        return {"rsvp": {"id": place[0], "status": place[1]}}
