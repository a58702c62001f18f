"""Whose turn it is at an event's row: a few transactions of this process at a time, first come first.

Whoever waits for a row's lock in the database holds a connection meanwhile. A rush to one event would take them all,
and everybody else would wait with it; here it waits without one. Between processes the row's lock decides, as ever.

A transaction at one event never waits for a turn at another: it holds its row, and whoever has the turn may want that.
Who must lock several events (models/forget.py) takes no turn.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

from tortoise import Tortoise
from tortoise.backends.base.client import TransactionalDBClient
from tortoise.transactions import in_transaction

from errors import Unavailable
from models.engines.line import Line

# One that holds the row, one that takes it over, and one for a busy event loop: see docs/decisions/0014-seats.md.
AT_ONCE = 3


class _Event:
    """Those who want one event's row."""

    __slots__ = ("begun", "line")

    def __init__(self) -> None:
        self.begun = 0  # how many have their turn
        self.line = Line()

    def hand_on(self) -> None:
        """Somebody's turn has come to its end, and is the next one's."""
        self.begun -= not self.line.call_next()


_events: dict[UUID, _Event] = {}  # that somebody is at


def waiting() -> int:
    """How many wait for their turn, at whatever event."""
    return sum(len(event.line) for event in [*_events.values()])  # a copy: metrics are read in another thread


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
    event = _events.setdefault(event_id, _Event())
    if event.begun < at_once:
        event.begun += 1
    else:
        await event.line.wait(event.hand_on)
    try:
        yield
    finally:
        event.hand_on()
        if not event.begun:
            del _events[event_id]
