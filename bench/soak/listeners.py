"""Subscribers who come, hear for a while, and go: with a word, without one, or with the line cut.

One whom the server cuts, since word of changes may have been lost, or turns away until it hears of changes again, is
counted: that is promised, and asks anew.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.typing import Subprotocol

from bench.soak.load import Cut, Load, Unexpected
from tests.sockets import Socket
from web.sse import EVENT_STREAM
from web.websocket import PROTOCOL, TRY_AGAIN_LATER

CHANGES = "subscription Soak { eventChanged { kind event { title confirmedCount creator { username } } } }"
TAGGED = 'subscription { eventChanged(filter: {tagsAny: ["python"]}) { kind eventId } }'
PLACES = "subscription { myRsvpChanged { status event { title } } }"


@asynccontextmanager
async def _socket(load: Load) -> AsyncIterator[Socket]:
    await load.pace.turn()
    address = load.url.replace("http", "ws", 1) + "/graphql"
    headers = {"x-forwarded-for": load.address}
    async with connect(
        address, subprotocols=[Subprotocol(PROTOCOL)], additional_headers=headers, proxy=None
    ) as connection:
        yield Socket(connection)


async def hears_on_a_socket(load: Load) -> None:
    async with load.member() as member, _socket(load) as socket:
        await socket.initialises({"authorization": f"Bearer {member.token}"})
        operations = [await socket.asks(document) for document in (CHANGES, TAGGED, PLACES)]
        try:
            async with asyncio.timeout(load.stay_seconds):
                while True:
                    said = orjson.loads(await socket.connection.recv())
                    _look_at(said["payload"] if said["type"] == "error" else said["payload"].get("errors"))
                    load.changes_heard += said["type"] == "next"
        except TimeoutError:
            pass  # it has stayed for as long as it wanted
        except ConnectionClosedError:
            raise Cut if socket.connection.close_code == TRY_AGAIN_LATER else Unexpected from None
        leave = load.chance.randrange(3)
        if leave == 0:
            for id in operations:
                await socket.says({"type": "complete", "id": id})
        elif leave == 1:
            socket.connection.transport.abort()


async def hears_a_stream(load: Load) -> None:
    headers = {"accept": EVENT_STREAM}
    async with load.member() as member:
        headers["authorization"] = f"Bearer {member.token}"
        async with member.http.stream("POST", "/graphql", json={"query": CHANGES}, headers=headers) as response:
            with suppress(TimeoutError):
                async with asyncio.timeout(load.stay_seconds):
                    async for line in response.aiter_lines():
                        if line == "event: complete":
                            raise Unexpected("A stream says that no more will come.")
                        if line.startswith("data: {"):
                            _look_at(orjson.loads(line.removeprefix("data: ")).get("errors"))
                            load.changes_heard += 1
                    raise Cut  # else it would have ended with a word


def _look_at(errors: list[Any] | None) -> None:
    codes = {error["extensions"]["code"] for error in errors or ()}
    if codes == {"UNAVAILABLE"}:
        raise Cut
    if codes:
        raise Unexpected(f"A subscriber is told {codes}.")


async def talks_nonsense(load: Load) -> None:
    async with _socket(load) as socket:
        await socket.says(load.chance.choice([b"\xff", "nonsense", {"type": "subscribe", "id": "1"}]))
        code, _ = await socket.is_closed()
        if code not in {4400, 4401}:
            raise Unexpected(f"Nonsense closes a socket with {code}.")
