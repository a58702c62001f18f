"""Whatever comes in, of every kind that does: an answer that is documented, nothing told, and a server that goes on.

FUZZ_SECONDS says how long each kind is tried, 3 by default; FUZZ_SEED, which inputs. A failure names both.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import orjson
import pytest
from graphql import OperationType
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from schema import schema
from tests.attacks.conftest import Attacked, on_sqlite
from tests.executor.invented_documents import CHOICES, PLAIN, Choices, Writer
from tests.people import Person
from web.websocket import PROTOCOL

pytestmark = [on_sqlite, pytest.mark.xdist_group("fuzz")]
SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("FUZZ_SEED", "7"))
GROWTH = 80  # megabytes, at most, by a kind: caches fill
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: planner.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
INIT = orjson.dumps({"type": "connection_init"})
BODY = b'{"query": "{ events { totalCount } }"}'
REQUEST = (
    b"POST /graphql HTTP/1.1\r\nHost: planner.test\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
Inputs = Callable[[random.Random, Person], Awaitable[None]]


def twisted(raw: bytes, chance: random.Random) -> bytes:
    """The same, with a few places spoiled: bytes changed, cut out, said twice, and what parsers trip over put in."""
    spoiled = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(spoiled) + 1)
        match chance.randrange(5):
            case 0:
                spoiled[at : at + 1] = chance.randbytes(1)
            case 1:
                del spoiled[at : at + chance.randint(1, 20)]
            case 2:
                spoiled[at:at] = spoiled[at : at + chance.randint(1, 40)]
            case 3:
                spoiled[at:at] = chance.choice([b"\0", b"\r\n", b"\n\n", b":", b"\xff\xfe", b"%00", b"..", b"9" * 5000])
            case _:
                spoiled = spoiled[: max(1, at)]
    return bytes(spoiled)


def as_text(raw: str, chance: random.Random) -> str:
    return twisted(raw.encode(), chance).decode("utf-8", "replace")


def is_documented(answer: httpx.Response) -> bool:
    """Errors have a code that says what was wrong with what was sent; INTERNAL says that we were."""
    if answer.status_code >= 500:
        return False
    if "json" not in answer.headers.get("content-type", ""):
        return True
    errors = answer.json().get("errors", []) if isinstance(answer.json(), dict) else []
    return all(error["extensions"]["code"] != "INTERNAL" for error in errors)


async def documents(chance: random.Random, ana: Person) -> None:
    kinds = [OperationType.QUERY, OperationType.QUERY, OperationType.SUBSCRIPTION]
    asked = Writer(schema._schema, Choices(chance.randbytes(CHOICES)), PLAIN).document(kinds)
    text = asked.text if chance.random() < 0.7 else as_text(asked.text, chance)
    body = {"query": text, "variables": asked.variables, "operationName": asked.operation_name}
    answer = await ana.http.post("/graphql", json=body, headers={"authorization": f"Bearer {ana.token}"})
    assert is_documented(answer), (body, answer.text)


async def bodies(chance: random.Random, ana: Person) -> None:
    headers = {"content-type": "application/json", "accept": chance.choice(["*/*", "text/event-stream", "a/b;q=x"])}
    answer = await ana.http.post("/graphql", content=twisted(BODY, chance), headers=headers)
    assert is_documented(answer), answer.text


async def addresses(chance: random.Random, ana: Person) -> None:
    """Of feeds, which say what they hold in themselves, and of everything else."""
    feed = (await ana.asks("{ events { icsUrl } me { calendarUrl } }")).data
    known = [feed["events"]["icsUrl"], feed["me"]["calendarUrl"], "/graphql?query={me{id}}", "/health/ready"]
    address = as_text(httpx.URL(chance.choice(known)).raw_path.decode(), chance).encode("ascii", "replace").decode()
    try:
        url = httpx.URL(str(ana.http.base_url).rstrip("/") + "/" + address.lstrip("/"))
    except httpx.InvalidURL:
        return
    answer = await ana.http.get(url)
    assert is_documented(answer), (address, answer.text)


async def cursors_and_tokens(chance: random.Random, ana: Person) -> None:
    ask = "query ($after: String) { events(first: 1, after: $after) { pageInfo { endCursor } } }"
    cursor = (await ana.asks(ask)).data["events"]["pageInfo"]["endCursor"] or "x"
    assert is_documented((await ana.asks(ask, after=as_text(cursor, chance))).response)
    token = as_text(ana.token or "", chance).encode("ascii", "ignore").decode()
    token = "".join(character for character in token if character.isprintable())
    assert is_documented((await ana.asks("{ me { username } }", authorization=f"Bearer {token}")).response)
    refresh = "mutation ($t: String!) { refresh(refreshToken: $t) { tokenType } }"
    made_up = as_text("abc.def" * chance.randint(1, 20), chance)
    assert is_documented((await ana.asks(refresh, authorization="Bearer x", t=made_up)).response)


async def raw_http(chance: random.Random, ana: Person) -> None:
    answer = await says(ana, [twisted(REQUEST * chance.randint(1, 2), chance)])
    assert not answer or not answer.startswith(b"HTTP/1.1 5"), answer[:500]


async def raw_frames(chance: random.Random, ana: Person) -> None:
    frame = b"\x81" + bytes([0x80 | len(INIT)]) + bytes(4) + INIT
    frames = twisted(frame * chance.randint(1, 3), chance) if chance.random() < 0.8 else chance.randbytes(200)
    answer = await says(ana, [UPGRADE, frames])
    assert answer.startswith(b"HTTP/1.1 101"), answer[:500]
    assert b"\x03\xf3" not in answer[-125:], answer  # 1011: the server failed


async def socket_messages(chance: random.Random, ana: Person) -> None:
    address = str(ana.http.base_url).rstrip("/").replace("http", "ws", 1) + "/graphql"
    known: list[dict[str, object]] = [
        {"type": "connection_init", "payload": {"authorization": f"Bearer {ana.token}"}},
        {"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }", "variables": {"a": None}}},
        {"type": "subscribe", "id": "2", "payload": {"query": "subscription { eventChanged { eventId } }"}},
        {"type": "complete", "id": "1"},
        {"type": "ping", "payload": [1]},
    ]
    connection = await connect(address, subprotocols=[Subprotocol(PROTOCOL)], proxy=None)
    try:
        await connection.send(orjson.dumps(known[0]).decode())
        for _ in range(4):
            message = orjson.dumps(chance.choice(known)).decode()
            await connection.send(as_text(message, chance) if chance.random() < 0.5 else message)
        async with asyncio.timeout(0.05):
            while True:
                told = orjson.loads(await connection.recv())
                assert "INTERNAL" not in str(told), told
    except (WebSocketException, TimeoutError):
        pass
    finally:
        await connection.close()
    assert connection.close_code != 1011


async def says(ana: Person, parts: list[bytes]) -> bytes:
    """What comes back within a moment."""
    url = ana.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(0.2):
            while read := await reader.read(65_536):
                answer += read
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answer


def megabytes(server: Attacked) -> float:
    assert server._process is not None
    return int(Path(f"/proc/{server._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


@pytest.mark.parametrize(
    "inputs",
    [documents, bodies, addresses, cursors_and_tokens, raw_http, raw_frames, socket_messages],
    ids=lambda inputs: inputs.__name__,
)
async def test_every_answer_is_documented(inputs: Inputs, server: Attacked, ana: Person) -> None:
    await ana.creates_event()
    memory, chance, tried, slowest = megabytes(server), random.Random(SEED), 0, 0.0  # noqa: S311 - no secret
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        await asyncio.gather(*(inputs(chance, ana) for _ in range(8)))
        tried += 8
        begun = time.perf_counter()
        assert (await ana.http.get("/health/ready")).status_code == 200
        slowest = max(slowest, time.perf_counter() - begun)

    assert slowest < 2
    assert megabytes(server) - memory < GROWTH * max(1, SECONDS / 60)
    log = server.log.read_text("utf-8", "replace")
    assert server.tells() == [], log[log.find("Traceback") - 300 :][:3_000]  # no trace either: see NEVER_LOGGED
