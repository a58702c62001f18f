"""Whatever comes in, of every kind that does: an answer that is documented, nothing told, and a server that goes on.

By itself it tries the same inputs at each run, but for ids, tokens and cursors, which are new each time, and fewer on a
slow machine. `make fuzz N=60` goes by chance, for as long as it is told (FUZZ_SECONDS a kind), and says its
FUZZ_SEED; a failure says that too, and which of its inputs it was.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
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
SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))  # a kind
INPUTS = float("inf") if "FUZZ_SECONDS" in os.environ else 320  # of a kind
SEED = int(os.environ.get("FUZZ_SEED", "7"))
AT_ONCE = 16
MEMORY = 32  # megabytes that a kind may add, a minute: caches fill; 6 were seen
SLOWEST = 2  # seconds for a health check meanwhile
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: planner.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
INIT = orjson.dumps({"type": "connection_init"})
BODY = b'{"query": "{ events { totalCount } }"}'
POST = b"POST /graphql HTTP/1.1\r\nHost: planner.test\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
REQUESTS = [
    POST + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
    POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    b"GET /graphql?query={__typename} HTTP/1.1\r\nHost: planner.test\r\nExpect: 100-continue\r\n\r\n",
    UPGRADE,
]
FLOOD = 150_000  # bytes of small things
EMPTY = bytes([0x80]) + bytes(4)  # of a frame, what follows its first byte
FLOODS = [  # how it begins, and what then comes again and again
    (UPGRADE, b"", b"\x89" + EMPTY),  # pings
    (UPGRADE, b"", b"\x8a" + EMPTY),  # pongs
    (UPGRADE, b"\x01" + EMPTY, b"\x00" + EMPTY),  # pieces of a message
    (UPGRADE, b"\x81" + bytes([0x80 | len(INIT)]) + bytes(4) + INIT, b"\x81\x8f" + bytes(4) + b'{"type":"pong"}'),
    (b"", b"GET /health/live HTTP/1.1\r\n", b"a:\r\n"),
    (b"", b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    (b"", POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    (b"", POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"a:\r\n"),
]
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
    """Invented by tests/executor/invented_documents.py, which says why not by hypothesis-graphql; some then spoiled."""
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
        answer = await ana.http.get("/" + address.lstrip("/"))
    except httpx.InvalidURL:
        return  # httpx sends no such
    assert is_documented(answer), (address, answer.text)


async def cursors_and_tokens(chance: random.Random, ana: Person) -> None:
    ask = "query ($after: String) { events(first: 1, after: $after) { pageInfo { endCursor } } }"
    cursor = (await ana.asks(ask)).data["events"]["pageInfo"]["endCursor"] or "x"
    assert is_documented((await ana.asks(ask, after=as_text(cursor, chance))).response)
    token = as_text(ana.token or "", chance).encode("ascii", "ignore").decode()
    header = "".join(
        character for character in f"Bearer {token}" if character.isprintable()
    ).strip()  # or httpx refuses
    assert is_documented((await ana.asks("{ me { username } }", authorization=header)).response)
    refresh = "mutation ($t: String!) { refresh(refreshToken: $t) { tokenType } }"
    made_up = as_text("abc.def" * chance.randint(1, 20), chance)
    assert is_documented((await ana.asks(refresh, authorization="Bearer x", t=made_up)).response)


async def raw_http(chance: random.Random, ana: Person) -> None:
    sent = twisted(chance.choice(REQUESTS) * chance.randint(1, 2), chance)
    async with connection_to(ana) as (reader, writer):
        writer.write(sent)
        answer = await what_comes(reader)
    assert b"HTTP/1.1 5" not in answer, (sent, answer[:500])


async def raw_frames(chance: random.Random, ana: Person) -> None:
    frame = b"\x81" + bytes([0x80 | len(INIT)]) + bytes(4) + INIT
    frames = twisted(frame * chance.randint(1, 3), chance) if chance.random() < 0.8 else chance.randbytes(200)
    async with connection_to(ana) as (reader, writer):
        writer.write(UPGRADE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(frames)
        answer = await what_comes(reader)
    assert b"\x03\xf3" not in answer[-125:], (frames, answer)  # 1011: the server failed


async def floods(chance: random.Random, ana: Person) -> None:
    """Nobody may wait until all of it was looked at."""
    handshake, begun, small = chance.choice(FLOODS)
    async with connection_to(ana) as (reader, writer):
        if handshake:
            writer.write(handshake)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(begun + small * chance.randint(1, FLOOD // len(small)))
        answer = await what_comes(reader)
    assert b"HTTP/1.1 5" not in answer, (small, answer[:500])
    assert b"\x03\xf3" not in answer[-125:], (small, answer[-125:])


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


@asynccontextmanager
async def connection_to(ana: Person) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(ana.http.base_url.host, ana.http.base_url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def what_comes(reader: asyncio.StreamReader) -> bytes:
    """Within a moment: spoiled input may well be one that the server waits for the rest of."""
    answer = b""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.1):
            while read := await reader.read(65_536):
                answer += read
    return answer


async def tries(inputs: Inputs, numbers: Iterable[int], ana: Person) -> None:
    """Each with a chance of its own, so that it is the same whatever the others do meanwhile."""

    async def try_one(number: int) -> None:
        try:
            await inputs(random.Random(f"{SEED} {inputs.__name__} {number}"), ana)  # noqa: S311 - no secret
        except Exception as error:
            error.add_note(f"FUZZ_SEED={SEED}: {inputs.__name__}, input {number}")
            raise

    async with asyncio.TaskGroup() as tasks:
        for number in numbers:
            tasks.create_task(try_one(number))


async def slowest_health(server: Attacked, enough: asyncio.Event) -> float:
    """Of the answers to a check that is made again and again; in seconds."""
    slowest = 0.0
    async with server.client() as client:
        while not enough.is_set():
            begun = time.perf_counter()
            assert (await client.get("/health/ready")).status_code == 200
            slowest = max(slowest, time.perf_counter() - begun)
            await asyncio.sleep(0.02)
    return slowest


def process_of(server: Attacked) -> Path:
    assert server._process is not None
    return Path(f"/proc/{server._process.pid}")


def megabytes(server: Attacked) -> float:
    return int((process_of(server) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def descriptors(server: Attacked) -> int:
    return len(os.listdir(process_of(server) / "fd"))


async def few_descriptors(server: Attacked, most: int) -> bool:
    """Once the connections that were left are closed, for which it has ten seconds."""
    for _ in range(200):
        if descriptors(server) <= most:
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.parametrize(
    "inputs",
    [documents, bodies, addresses, cursors_and_tokens, raw_http, raw_frames, floods, socket_messages],
    ids=lambda inputs: inputs.__name__,
)
async def test_every_answer_is_documented(inputs: Inputs, server: Attacked, ana: Person) -> None:
    await ana.creates_event()
    await tries(inputs, range(AT_ONCE), ana)  # what it takes to begin with is no growth
    memory, opened, tried, until = megabytes(server), descriptors(server), AT_ONCE, time.monotonic() + SECONDS
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(slowest_health(server, enough := asyncio.Event()))
        while tried < INPUTS and time.monotonic() < until:
            await tries(inputs, range(tried, tried + AT_ONCE), ana)
            tried += AT_ONCE
        enough.set()

    assert watching.result() < SLOWEST
    assert megabytes(server) - memory < MEMORY * max(1, SECONDS / 60)
    assert await few_descriptors(server, opened + AT_ONCE)  # of what ana keeps open, some may be new
    log = server.log.read_text("utf-8", "replace")
    assert server.tells() == [], log[log.find("Traceback") - 300 :][:3_000]  # no trace either: see NEVER_LOGGED
