"""What a client gets wrong on its connection is no fault of the server's, and leaves no traceback in its log."""

import asyncio
import signal
import struct

import httpx
import orjson

from tests.conftest import Server
from tests.people import PASSWORD, SIGNUP

SIGNS_UP = orjson.dumps(
    {"query": SIGNUP, "variables": {"input": {"email": "ana@test.com", "username": "ana", "password": PASSWORD}}}
)
POST = b"POST /graphql HTTP/1.1\r\nHost: planner.test\r\nContent-Type: application/json\r\n"
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: planner.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def frame(text: bytes) -> bytes:
    """Of a WebSocket, with a mask that changes nothing."""
    return b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = httpx.URL(server.url)
    return await asyncio.open_connection(url.host, url.port)


async def log_of_all(server: Server) -> str:
    """Its log, once all that runs has ended."""
    assert await server.stop(signal.SIGTERM) == 0
    return server.log.read_text()


async def test_a_request_that_runs_while_the_next_is_broken(live_server: Server) -> None:
    reader, writer = await connect(live_server)
    # A password is hashed, so that the first runs when the second has been read.
    first = POST + b"Content-Length: %d\r\n\r\n%s" % (len(SIGNS_UP), SIGNS_UP)
    writer.write(first + POST + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n")

    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    async with asyncio.timeout(30):
        while "signup [planner.audit]" not in live_server.log.read_text():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
    assert "Traceback" not in await log_of_all(live_server)


async def test_a_message_before_one_that_is_no_text(live_server: Server) -> None:
    reader, writer = await connect(live_server)
    writer.write(UPGRADE)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")

    writer.write(frame(b'{"type": "connection_init"}') + frame(b"\xff"))

    assert await reader.read() == b"\x88\x02" + struct.pack("!H", 1007)
    writer.close()
    log = await log_of_all(live_server)
    assert "Traceback" not in log
    assert "[warning  ] Invalid UTF-8 sequence received from client." in log
