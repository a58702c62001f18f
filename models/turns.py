"""Whose turn it is at an event's row: a few transactions of this process at a time, first come first.

Whoever waits for a row's lock in the database holds a connection meanwhile. A rush to one event would take them all,
and everybody else would wait with it; here it waits without one. Between processes the row's lock decides, as ever.

A transaction at one event never waits for a turn at another: it holds its row, and whoever has the turn may want that.
Who must lock several events (models/forget.py) takes no turn.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from tortoise import Tortoise
from tortoise.backends.base.client import TransactionalDBClient
from tortoise.transactions import in_transaction

from errors import Unavailable

# One that holds the row, one that takes it over, and one for a busy event loop: see docs/decisions/0014-seats.md.
AT_ONCE = 3


class _Line:
    """Those who want one event's row."""

    __slots__ = ("begun", "waiting")

    def __init__(self) -> None:
        self.begun = 0  # how many have their turn
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Until somebody's turn has come to its end, and is handed on to the caller."""
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.hand_on()  # it came, and nobody is there any more
            raise
        finally:
            with suppress(ValueError):
                self.waiting.remove(turn)

    def hand_on(self) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.begun -= 1


_lines: dict[UUID, _Line] = {}  # of the events that somebody is at


def waiting() -> int:
    """How many wait for their turn, at whatever event."""
    return sum(len(line.waiting) for line in [*_lines.values()])  # a copy: metrics are read in another thread


@asynccontextmanager
async def transaction_at(event_id: UUID) -> AsyncIterator[TransactionalDBClient]:
    """A transaction that is to lock the event's row, begun when it is its turn.

    Raises Unavailable where turn and connection together take longer than the client's wait.
    """
    client: Any = Tortoise.get_connection("default")
    at_once = max(1, min(AT_ONCE, client.most_connections // 2))  # of a small pool, others need a part as well
    async with AsyncExitStack() as begun:
        try:
            async with asyncio.timeout(client.wait_seconds):
                await begun.enter_async_context(_turn(event_id, at_once))
                connection = await begun.enter_async_context(in_transaction())
        except TimeoutError as error:
            raise Unavailable("Too many want this event at the same time.", retry_after=1) from error
        yield connection


@asynccontextmanager
async def _turn(event_id: UUID, at_once: int) -> AsyncIterator[None]:
    line = _lines.get(event_id)
    if line is None:
        line = _lines[event_id] = _Line()
    if line.begun < at_once:
        line.begun += 1
    else:
        await line.wait()
    try:
        yield
    finally:
        line.hand_on()
        if not line.begun:
            del _lines[event_id]
