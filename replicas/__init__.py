"""What several processes share: word of changes.

A message is published to a topic, and heard by whoever subscribes to it, in the order in which it was published. All of
a process share the one object: nobody changes it. Between processes it travels as JSON, so it is a dataclass of text,
numbers, aware instants, None, and lists and mappings of these.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from errors import Unavailable

MOST_WAITING = 1_000  # messages that a subscriber has not taken yet; an account that goes takes many events along

Message = TypeVar("Message")
log = logging.getLogger("planner.replicas")


class FellBehind(Unavailable):
    """Messages were dropped, since the subscriber took them more slowly than they came."""

    def __init__(self) -> None:
        super().__init__("More changed than was read in time, so some of it is lost here. Subscribe anew.", 1)


class Subscription(Generic[Message]):
    """Messages as they come: `with replicas.subscribe(...) as heard: async for message in heard`.

    Raises FellBehind where more than MOST_WAITING wait to be taken: none of those is kept.
    """

    def __init__(self, wants: Callable[[Message], bool], leave: Callable[["Subscription[Message]"], None]) -> None:
        self._wants, self._leave = wants, leave
        self._waiting: deque[Message] = deque()
        self._end: Exception | None = None
        self._news = asyncio.Event()

    def offer(self, message: Message) -> None:
        """Raises nothing: who publishes is not to suffer from who subscribes."""
        if self._end:
            return
        try:
            if not self._wants(message):  # asked here, so that the unwanted wakes nobody and fills no queue
                return
            if len(self._waiting) == MOST_WAITING:
                raise FellBehind
            self._waiting.append(message)
        except Exception as end:
            if not isinstance(end, FellBehind):
                log.exception("a subscriber failed on a message")
            self._waiting.clear()
            self._end = end
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
