"""The least that a Python server can do for the answer: reads the request, asks one statement, writes JSON.

It knows no GraphQL: whatever the document says, it gives the answer that the works' document asks for. Nothing that
does the same with a framework can be quicker, so the others are told as a share of it.
"""

import asyncpg
import orjson
from starlette.types import Receive, Scope, Send

from bench.rivals import POOL_SIZE

EVENTS = """
    SELECT e.id::text, e.title, e.description, e.location, e.tags, e.starts_at, e.created_at,
           e.creator_id::text, u.username
    FROM events e JOIN users u ON u.id = e.creator_id
    ORDER BY e.created_at DESC, e.id DESC
    LIMIT $1
"""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # published without types
    def get_reset_query(self) -> str:
        return ""  # nothing here changes the connection: the statement that would reset it costs a fifth of the answer


class Limit:
    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        orjson.loads(body)
        answer = orjson.dumps({"data": {"events": {"nodes": await self._events(20)}}}, option=orjson.OPT_UTC_Z)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _events(self, first: int) -> list[dict[str, object]]:
        return [
            {
                "id": id,
                "title": title,
                "description": description,
                "location": location,
                "tags": tags,
                "startsAt": starts_at,
                "createdAt": created_at,
                "creator": {"id": creator_id, "username": username},
            }
            for (
                id,
                title,
                description,
                location,
                tags,
                starts_at,
                created_at,
                creator_id,
                username,
            ) in await self._pool.fetch(EVENTS, first)
        ]

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._pool = await asyncpg.create_pool(
            self._database_url, min_size=1, max_size=POOL_SIZE, connection_class=Connection
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(database_url: str) -> Limit:
    return Limit(database_url)
