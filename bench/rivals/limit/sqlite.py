"""The limit on SQLite: the standard library's driver in the event loop's own thread, so that nothing is handed over.

A server that has anything else to do would not block its loop like this; no way through SQLite is shorter.
"""

# ruff: noqa: S608 - the statements are put together of what is written here and in answers.py, of no value

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from uuid6 import uuid7

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

_JOINED = "events e JOIN users u ON u.id = e.creator_id"
VIEWER = (
    "SELECT u.id, u.username FROM sessions s JOIN users u ON u.id = s.user_id"
    " WHERE s.id = ? AND s.user_id = ? AND s.refresh_expires_at > ?"
)
ONE = f"SELECT {WHOLE} FROM {_JOINED} WHERE e.id = ?"
EVENTS = f"SELECT {NODE} FROM {_JOINED} {NEWEST} ?"
BEHIND = f"SELECT {NODE} FROM {_JOINED} WHERE (e.created_at, e.id) < (?, ?) {NEWEST} ?"
VIEWERS_EVENTS = f"""
    SELECT {NODE}, e.creator_id = v.id AND e.status = 'SCHEDULED', r.id, r.status
    FROM ({VIEWER}) v CROSS JOIN {_JOINED} LEFT JOIN rsvps r ON r.event_id = e.id AND r.user_id = v.id
    {NEWEST} ?
"""
SEARCH = f"""
    SELECT {NODE} FROM event_grams g JOIN event_texts x ON x.id = g.rowid JOIN events e ON e.id = x.event_id
    JOIN users u ON u.id = e.creator_id
    WHERE g.event_grams MATCH ? {{longer}} {NEWEST} ?
"""
LONGER = "AND instr(x.title || ' ' || x.tags || ' ' || x.rest, ?) > 0"
COUNT = "SELECT count(*) FROM event_tags t JOIN events e ON e.id = t.event_id WHERE t.key = ? AND e.starts_at >= ?"
CREATE = (
    "INSERT INTO events (id, creator_id, title, description, tags, location, starts_at, time_zone, title_key,"
    " location_key, starts_key, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
TAG = "INSERT INTO event_tags (key, event_id) VALUES (?, ?)"
TEXTS = "INSERT INTO event_texts (event_id, title, tags, rest, grams) VALUES (?, ?, ?, ?, ?)"
HELD = "SELECT id, status FROM rsvps WHERE event_id = ? AND user_id = ? AND status <> 'CANCELLED'"
DRAW = f"""
    UPDATE events SET tickets = tickets + 1,
        confirmed_count = confirmed_count + CASE WHEN {SEAT} THEN 1 ELSE 0 END,
        waitlist_count = waitlist_count + CASE WHEN {SEAT} THEN 0 ELSE 1 END
    WHERE id = ? AND status = 'SCHEDULED'
    RETURNING tickets, CASE WHEN waitlist_count > 0 THEN 'WAITLISTED' ELSE 'CONFIRMED' END
"""
PLACE = (
    "INSERT INTO rsvps (id, event_id, user_id, status, ticket, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (event_id, user_id) DO UPDATE SET status = excluded.status, ticket = excluded.ticket,"
    " updated_at = excluded.updated_at RETURNING id"
)


class SQLite(Answers):
    def __init__(self, database_url: str) -> None:
        self._file = database_url.removeprefix("sqlite://")

    async def open(self) -> None:
        self._connection = sqlite3.connect(self._file, isolation_level=None, timeout=5, cached_statements=256)
        self._connection.execute("PRAGMA foreign_keys = ON")

    async def close(self) -> None:
        self._connection.close()

    async def one_event(self, asked: Asked) -> Any:
        (row,) = self._rows(ONE, asked.variables["id"])
        values = list(row)
        values[5] = orjson.Fragment(values[5])
        for index in (6, 7, 14, 15):
            values[index] = _instant(values[index])
        return {"event": whole(values)}

    async def events(self, asked: Asked) -> Any:
        return connection(map(_read, self._rows(EVENTS, asked.variables["first"])))

    async def page(self, asked: Asked) -> Any:
        if place := asked.place:
            return connection(map(_read, self._rows(BEHIND, place[0].isoformat(" "), place[1], 20)))
        return connection(map(_read, self._rows(EVENTS, 20)))

    async def viewers_events(self, asked: Asked) -> Any:
        rows = self._rows(VIEWERS_EVENTS, *_viewer(asked, _now()), asked.variables["first"])
        nodes = [viewers_node(*_read(row[:9]), bool(row[9]), *row[10:]) for row in rows]
        return {"events": {"nodes": nodes}}

    async def search(self, asked: Asked) -> Any:
        words = Searched.of(asked.variables["search"])
        needed = " AND ".join(f'"{gram.encode().hex()}"' for gram in words.grams)
        statement = SEARCH.format(longer=" ".join(LONGER for _ in words.longer))
        return connection(map(_read, self._rows(statement, needed, *words.longer, 20)))

    async def count(self, asked: Asked) -> Any:
        since = instant(asked.variables["since"]).isoformat(" ")
        ((count,),) = self._rows(COUNT, fold(asked.variables["tag"]), since)
        return {"events": {"totalCount": count}}

    async def create_event(self, asked: Asked) -> Any:
        now, id_, new = _now(), str(uuid7()), NewEvent(asked.variables["input"])
        title, description, tags, location, starts_at, time_zone, *keys, starts_key = new.columns()
        as_json = orjson.dumps(tags).decode()
        starts = starts_at and starts_at.isoformat(" ")
        with self._transaction():
            ((user_id, username),) = self._rows(VIEWER, *_viewer(asked, now))
            columns = (title, description, as_json, location, starts, time_zone, *keys, starts_key.isoformat(" "))
            self._connection.execute(CREATE, (id_, user_id, *columns, now, now))
            self._connection.executemany(TAG, [(key, id_) for key in new.tag_keys()])
            self._connection.execute(TEXTS, (id_, *new.texts("sqlite")))
        shown = orjson.Fragment(as_json), starts_at, _instant(now)
        return {"createEvent": node(id_, title, description, location, *shown, user_id, username)}

    async def rsvp(self, asked: Asked) -> Any:
        now, event_id = _now(), asked.variables["id"]
        with self._transaction():
            ((user_id, _),) = self._rows(VIEWER, *_viewer(asked, now))
            if held := self._rows(HELD, event_id, user_id):
                return {"rsvp": {"id": held[0][0], "status": held[0][1]}}
            ((ticket, status),) = self._rows(DRAW, event_id)
            ((id_,),) = self._rows(PLACE, str(uuid7()), event_id, user_id, status, ticket, now)
        return {"rsvp": {"id": id_, "status": status}}

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _viewer(asked: Asked, now: str) -> tuple[str, str, str]:
    user_id, session_id = asked.signed_in
    return str(session_id), str(user_id), now


def _now() -> str:
    return datetime.now(UTC).isoformat(" ")


def _read(row: Any) -> tuple[Any, ...]:
    """A row of NODE, ready for orjson: nothing is read that would only be written again."""
    id_, title, description, location, tags, starts_at, created_at, *creator = row
    written = orjson.Fragment(tags), _instant(starts_at), _instant(created_at)
    return (id_, title, description, location, *written, *creator)


def _instant(kept: str | None) -> str | None:
    """RFC 3339 of an instant in UTC, as SQLite has it."""
    return kept and f"{kept[:10]}T{kept[11:-6]}Z"
