"""Responses, as they arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import repeat

import orjson
import pytest

from bench.http import Request, Response
from bench.load import Load, UnexpectedAnswer, ask_once

WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\netag: W/"a"\r\n\r\n'


@pytest.mark.parametrize("octets", [WITH_LENGTH, IN_CHUNKS, NOT_MODIFIED])
def test_a_response_is_read_once_it_is_whole(octets: bytes) -> None:
    for end in range(len(octets)):
        assert Response.read(octets[:end]) is None

    whole = Response.read(octets)
    assert whole is not None
    assert whole.status == int(octets[9:12])
    assert whole.head + whole.body == octets


def test_a_header_is_found_in_any_case() -> None:
    response = Response.read(NOT_MODIFIED.replace(b"etag", b"ETag"))

    assert response is not None
    assert response.header("etag") == 'W/"a"'
    assert response.header("vary") == ""


def test_a_request_with_a_body_says_how_long_it_is() -> None:
    head, _, body = Request("POST", "/graphql", orjson.dumps({"a": "말"}), {"x-a": "b"}).octets.partition(b"\r\n\r\n")

    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /graphql HTTP/1.1"
    assert {"content-type: application/json", f"content-length: {len(body)}", "x-a: b"} <= set(lines)


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """A server's port; on each connection the answers come in turns, the last for ever."""
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        left = list(answers)
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # until the client goes
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(left.pop(0) if len(left) > 1 else left[0])

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in opened:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in opened), return_exceptions=True)


async def test_each_connection_asks_again_when_it_has_its_answer() -> None:
    async with answering(WITH_LENGTH) as port:
        load = Load(port, repeat(Request("GET", "/").octets), lambda response: response.body == b"hello")
        took = await load.run(connections=3, seconds=0.1)

    assert took >= 0.1
    assert len(load.seconds_each) > 3
    assert load.p99_ms < took * 1_000


async def test_a_wrong_answer_ends_the_round() -> None:
    async with answering(WITH_LENGTH, WITH_LENGTH, WITH_LENGTH.replace(b"hello", b"hullo")) as port:
        load = Load(port, repeat(Request("GET", "/").octets), lambda response: response.body == b"hello")
        with pytest.raises(UnexpectedAnswer, match="hullo"):
            await load.run(connections=1, seconds=5)


async def test_nothing_left_to_ask_ends_the_round() -> None:
    async with answering(WITH_LENGTH) as port:
        load = Load(port, iter([Request("GET", "/").octets] * 2), lambda response: True)
        with pytest.raises(ValueError, match="nothing left"):
            await load.run(connections=1, seconds=5)


async def test_one_question_has_one_answer() -> None:
    async with answering(NOT_MODIFIED) as port:
        assert (await ask_once(port, Request("GET", "/"))).status == 304
