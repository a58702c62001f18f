"""What is sent at once is taken in pieces, in the order it came, and none of it twice or never."""

import asyncio

import pytest

from web.intake import LONGEST_PIECE, PIECE, Intake


class Pipe(asyncio.Transport):
    """From a client that sends no more than it may."""

    is_read, is_closed = True, False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return self.is_closed


class Reader(Intake):
    is_full = False

    def __init__(self) -> None:
        self.transport: Pipe = Pipe()
        self.taken: list[bytes] = []
        self.full_after = 0  # pieces

    def take(self, piece: bytes) -> None:
        self.taken.append(piece)
        self.is_full = len(self.taken) == self.full_after


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What each look at the clock adds to it."""
    now, steps = 0.0, [0.0]

    def look() -> float:
        nonlocal now
        now += steps[0]
        return now

    monkeypatch.setattr("web.intake.perf_counter", look)
    return steps


SENT = bytes(range(256)) * 1_024


async def test_others_have_their_turn_after_a_millisecond(clock: list[float]) -> None:
    reader, clock[0] = Reader(), 0.002
    reader.data_received(SENT)

    assert [len(piece) for piece in reader.taken] == [PIECE]
    assert not reader.transport.is_read
    await asyncio.sleep(0)
    assert len(reader.taken) == 2
    for _ in range(len(SENT) // PIECE):
        await asyncio.sleep(0)
    assert b"".join(reader.taken) == SENT
    assert reader.transport.is_read


async def test_what_is_quickly_parsed_is_taken_in_larger_pieces(clock: list[float]) -> None:
    reader = Reader()
    reader.data_received(SENT)

    assert b"".join(reader.taken) == SENT
    assert [len(piece) for piece in reader.taken[:6]] == [1_024, 2_048, 4_096, 8_192, LONGEST_PIECE, LONGEST_PIECE]


async def test_the_rest_waits_for_one_that_is_full(clock: list[float]) -> None:
    reader = Reader()
    reader.full_after = 2
    reader.data_received(SENT)
    await asyncio.sleep(0)

    assert len(reader.taken) == 2
    assert not reader.transport.is_read
    reader.is_full = False
    reader.go_on()
    assert len(reader.taken) == 2
    await asyncio.sleep(0)
    assert b"".join(reader.taken) == SENT
    assert reader.transport.is_read


async def test_what_comes_meanwhile_comes_later(clock: list[float]) -> None:
    reader, clock[0] = Reader(), 0.002
    reader.data_received(SENT[: 3 * PIECE])
    reader.data_received(b"later")
    for _ in range(4):
        await asyncio.sleep(0)

    assert b"".join(reader.taken) == SENT[: 3 * PIECE] + b"later"


async def test_nothing_is_taken_once_it_closes(clock: list[float]) -> None:
    reader, clock[0] = Reader(), 0.002
    reader.data_received(SENT)
    reader.transport.is_closed = True
    await asyncio.sleep(0)

    assert len(reader.taken) == 1
    assert not reader.has_rest
