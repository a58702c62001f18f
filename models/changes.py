"""What changed, told to listeners after the commit; of one event, in the order of the commits of this process.

A listener is called in the task that made the change, so it must return at once and raise nothing: it puts the change
into a queue of its own. What was committed by a process that died before it told is not told.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self
from uuid import UUID

from tortoise.transactions import in_transaction

from models.rows import Row
from models.turns import transaction_at


class ChangeKind(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    CANCELLED = "CANCELLED"
    DELETED = "DELETED"


@dataclass(frozen=True)
class EventChanged:
    """`before` and `after` hold the event's columns; a filter may hold for one and not for the other."""

    kind: ChangeKind
    event_id: str
    before: Row | None
    after: Row | None


@dataclass(frozen=True)
class RsvpChanged:
    rsvp_id: str
    event_id: str
    user_id: str
    status: str


Change = EventChanged | RsvpChanged
Listener = Callable[[Change], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> Callable[[], None]:
    """Has the listener told of each change from now on; what is answered ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


class _Told(list[Change]):
    """The changes of a transaction, each put in while the transaction holds the event's lock.

    So the order in which they are put in is that of the commits. Hearing of a commit is not: whoever waited for the
    lock may hear of its own commit first. Its changes then wait here for those before them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._event_ids: set[str] = set()
        self._has_ended = False

    def append(self, change: Change) -> None:
        if change.event_id not in self._event_ids:
            self._event_ids.add(change.event_id)
            _lines.setdefault(change.event_id, deque()).append(self)
        if isinstance(change, EventChanged):
            for at, earlier in enumerate(self):
                if isinstance(earlier, EventChanged) and earlier.event_id == change.event_id:
                    # One change: what stood between the two was never committed.
                    del self[at]
                    change = replace(
                        change,
                        kind=change.kind if change.kind is ChangeKind.DELETED else earlier.kind,
                        before=earlier.before,
                    )
                    break
        super().append(change)

    def __iadd__(self, changes: Iterable[Change]) -> Self:  # type: ignore[misc, override]  # it takes what any list takes
        for change in changes:
            self.append(change)
        return self

    def end(self, *, committed: bool) -> None:
        """Tells what it holds, or leaves that to those before it; nothing, where it was rolled back."""
        if not committed:
            self.clear()
        self._has_ended = True
        for event_id in self._event_ids:
            line = _lines[event_id]
            while line and line[0]._has_ended:
                for change in line.popleft():
                    if change.event_id == event_id:
                        _tell(change)
            if not line:
                del _lines[event_id]


_lines: dict[str, deque[_Told]] = {}  # by event: the transactions that changed it and have not ended, first come first


def _tell(change: Change) -> None:
    for listener in tuple(_listeners):
        listener(change)


@asynccontextmanager
async def told_statement() -> AsyncIterator[list[Change]]:
    """The same for what is done by one statement, which needs no transaction around it. Where its answer is lost, it
    is not told, be it done or not."""
    told, committed = _Told(), False
    try:
        yield told
        committed = True
    finally:
        told.end(committed=committed)


@asynccontextmanager
async def told_transaction(event_id: UUID | None = None) -> AsyncIterator[list[Change]]:
    """A transaction, and a list: the changes put into it are told once the transaction has been committed.

    With an event, whose row it locks, it begins when it is its turn there: see models/turns.py.
    """
    told, committed = _Told(), False
    try:
        async with transaction_at(event_id) if event_id else in_transaction() as connection:
            yield told
            committing = asyncio.ensure_future(connection.commit())
            try:
                await asyncio.shield(committing)
            except asyncio.CancelledError:
                await asyncio.wait([committing])  # who does not wait for a COMMIT never knows whether it was done
                raise
            finally:
                committed = committing.done() and not committing.cancelled() and committing.exception() is None
    finally:
        told.end(committed=committed)
