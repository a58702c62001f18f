"""What several processes share: word of changes.

A message is published to a topic, and heard by whoever subscribes to it. All of a process share the one object: nobody
changes it. In one process messages are heard in the order in which they were published. Between processes, those of one
line are heard in the order of the line, whichever process published them: see `Wire` and order.py.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from errors import Unavailable

MOST_WAITING = 1_000  # messages that a subscriber has not taken yet; an account that goes takes many events along

Message = TypeVar("Message")
log = logging.getLogger("planner.replicas")


class FellBehind(Unavailable):
    """Messages were dropped, since the subscriber took them more slowly than they came."""

    def __init__(self) -> None:
        super().__init__("More changed than was read in time, so some of it is lost here. Subscribe anew.", 1)


class Missed(FellBehind):
    """Word of other processes did not come, or not in its order: who subscribes cannot be told all that changed."""


class Apart(Unavailable):
    """Word of other processes does not come at present, so nobody can subscribe."""

    def __init__(self) -> None:
        super().__init__("What changes cannot be told at present. Subscribe again in a moment.", 2)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its line a message stands: it takes the line from one number to another, and the next begins there.

    A line begins at 0. A message without numbers is part of the next one of its line, which the same process publishes
    next.
    """

    line: str
    begins: int | None = None
    ends: int | None = None


class Wire(Protocol[Message]):
    """Messages between processes."""

    def write(self, message: Message) -> Any:
        """What orjson writes: text, numbers, aware instants, None, and lists and mappings of these."""

    def read(self, written: Any) -> Message:
        """What `write` gave, once it was JSON. Raises LookupError, TypeError or ValueError where it is none."""

    def place(self, message: Message) -> Place: ...


class Subscription(Generic[Message]):
    """Messages as they come: `with replicas.subscribe(...) as heard: async for message in heard`.

    Raises FellBehind where more than MOST_WAITING wait to be taken, or some were missed: none of those that wait is
    kept.
    """

    def __init__(self, wants: Callable[[Message], bool], leave: Callable[["Subscription[Message]"], None]) -> None:
        self._wants, self._leave = wants, leave
        self._waiting: deque[Message] = deque()
        self._end: Exception | None = None
        self._news = asyncio.Event()

    def offer(self, message: Message) -> None:
        """Raises nothing: who publishes is not to suffer from who subscribes."""
        if not self._hears_of(message):
            return
        if len(self._waiting) == MOST_WAITING:
            self.end(FellBehind())
        else:
            self._waiting.append(message)
            self._news.set()

    def miss(self, message: Message) -> None:
        """The message came too late to be told: who wants it is told so."""
        if self._hears_of(message):
            self.end(Missed())

    def _hears_of(self, message: Message) -> bool:
        # Asked while publishing, so that the unwanted wakes nobody and fills no queue.
        try:
            return self._end is None and self._wants(message)
        except Exception as failure:
            log.exception("a subscriber failed on a message")
            self.end(failure)
            return False

    def end(self, reason: Exception) -> None:
        """Who subscribes meets it next, and nothing else."""
        self._waiting.clear()
        self._end = self._end or reason
        self._news.set()

    async def __anext__(self) -> Message:
        while not self._waiting:
            if self._end:
                raise self._end
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def __aiter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(self)


class Replicas(ABC, Generic[Message]):
    @abstractmethod
    def publish(self, topic: str, message: Message) -> None:
        """Returns at once and raises nothing: it is called where a change has just been made."""

    @abstractmethod
    def subscribe(self, *topics: str, wants: Callable[[Message], bool] = lambda _: True) -> Subscription[Message]:
        """What is published from now on. `wants` decides at once, for every message."""

    @property
    def is_whole(self) -> bool:
        """Whether word of the other processes comes; where it does not, `subscribe` raises Apart."""
        return True

    async def open(self) -> None:
        """In the event loop, before anything is published."""

    async def close(self) -> None:
        """What was published is told to the other processes first."""
