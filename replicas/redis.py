"""Several processes: word of changes goes between them by Redis, over one channel (PUBLISH, SUBSCRIBE).

Nobody who publishes waits for Redis: what is to be sent stands in a queue of its own, and what it cannot hold is
dropped. Nobody who subscribes misses anything unawares: wherever word may have been lost, all subscriptions of the
process end with Missed, so that their clients ask anew. That is where

- the connection to Redis broke, or nothing came by it for as long as SILENT_BEATS (at each beat, each process says at
  least that it is there, and hears itself say so);
- another process says that it dropped something, or says nothing any more without having taken its leave;
- a step of a line did not come (order.py), or what came cannot be read by this version.

Until it hears itself again, `subscribe` raises Apart. docs/decisions/0020-replicas.md says what is promised.
"""

import asyncio
import logging
import math
import random
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Any
from uuid import uuid4

import orjson
from prometheus_client import Counter
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from replicas import Apart, Message, Missed, Replicas, Subscription, Wire
from replicas.memory import Memory
from replicas.order import Lines, Step

VERSION = 1  # of what is sent
CONNECT_SECONDS = 2.0
SEND_SECONDS = 2.0
BEAT_SECONDS = 1.0
SILENT_BEATS = 4
RETRY_SECONDS = (0.2, 0.8)  # between these, by chance: processes do not come back all at once
REJOIN_SECONDS = 2.0  # after Redis was gone: by then all others speak again, and have said what they dropped
LEAVE_SECONDS = 2.0  # for what is unsent, when the process ends
MOST_UNSENT = 10_000  # steps, of a few kB each
MOST_AT_ONCE = 50  # steps in one PUBLISH
UNREADABLE_EVERY = 60.0  # seconds between lines in the log


class Why(StrEnum):
    """Word of other processes was missed. docs/operations.md says what to do about each."""

    REDIS = "redis"
    SILENCE = "silence"
    DROPPED = "dropped"
    STEP = "step"
    UNREADABLE = "unreadable"
    VERSION = "version"


UNSENT = Counter("planner_changes_unsent", "Steps of which the other processes were not told: Redis did not take them.")
MISSED = Counter("planner_changes_missed", "Times that all subscriptions ended since word was lost.", ["why"])
for _why in Why:
    MISSED.labels(_why)  # from the start: of a series that begins at 1, Prometheus knows no increase
UNREADABLE = Counter("planner_changes_unreadable", "Messages in the channel that are none of a planner's.")
_chance = random.Random()  # noqa: S311 - it spreads load, and is no secret
log = logging.getLogger("planner.replicas")


def connections(url: str, seconds: float, most: int) -> BlockingConnectionPool:
    """To Redis: at most so many, each answer within so many seconds. Nothing is tried again where one breaks, since
    what was lost by it has to be known."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=most,
        timeout=seconds,
        socket_connect_timeout=min(CONNECT_SECONDS, seconds),
        socket_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


class Redis(Replicas[Message]):
    """`channel` is the installation's own: Redis's databases do not keep channels apart. `url` may hold a password, and
    is never logged."""

    def __init__(self, url: str, channel: str, wire: Wire[Message], *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._beat_seconds, self._silent_seconds = beat_seconds, SILENT_BEATS * beat_seconds
        self._channel, self._wire = channel, wire
        self._pool = connections(url, SEND_SECONDS, most=2)
        self._name = uuid4().hex
        self._here = Memory[Message]()
        self._lines = Lines[Message](self._tell, self._tell_late, lambda: self._miss(Why.STEP))
        self._begun: defaultdict[str, list[tuple[str, Message]]] = defaultdict(
            list
        )  # by line: what its next step takes
        self._unsent: deque[Step[Message]] = deque()
        self._news = asyncio.Event()
        self._has_dropped = False  # since the others were last told so
        self._is_leaving = False
        self._told_of: set[str] = set()  # work that the log was told to have failed, and that has not done well since
        self._is_whole = False
        self._was_apart = False
        self._others: dict[str, float] = {}  # by name: when it was last heard
        self._unreadable_logged_at = -UNREADABLE_EVERY
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_whole(self) -> bool:
        return self._is_whole

    def publish(self, topic: str, message: Message) -> None:
        place = self._wire.place(message)
        if place.begins is None or place.ends is None:
            self._begun[place.line].append((topic, message))
            return
        said = (*self._begun.pop(place.line, ()), (topic, message))
        step = Step(place.line, place.begins, place.ends, said)
        self._take(step)
        if len(self._unsent) == MOST_UNSENT:
            self._drop()
        self._unsent.append(step)
        self._news.set()

    def subscribe(self, *topics: str, wants: Callable[[Message], bool] = lambda _: True) -> Subscription[Message]:
        if not self._is_whole:
            raise Apart
        return self._here.subscribe(*topics, wants=wants)

    async def open(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(self._listen)), asyncio.create_task(self._keep(self._send))]

    async def close(self) -> None:
        if not self._tasks:
            return
        listening, sending = self._tasks
        self._is_leaving = True
        self._news.set()
        await asyncio.wait([sending], timeout=LEAVE_SECONDS)
        for task in (listening, sending):
            task.cancel()
        await asyncio.wait(self._tasks)
        self._lines.forget()

    async def _keep(self, work: Callable[[AbstractConnection], Any]) -> None:
        """The work, begun anew whenever it breaks, until it returns."""
        what = work.__name__[1:]
        while True:
            try:
                async with self._connection() as connection:
                    await work(connection)
                return
            except (RedisError, OSError) as problem:
                # Told once, and not at every try. Of the problem its kind alone: a text of the package's might hold
                # what the address holds.
                (log.debug if what in self._told_of else log.warning)("Redis, to %s: %s", what, type(problem).__name__)
                self._told_of.add(what)
            except Exception:
                log.exception("what speaks with Redis failed")  # and goes on: it has to outlive whatever is in there
            if work == self._send:
                self._drop()
            else:
                self._part()
            if self._is_leaving:
                return
            await asyncio.sleep(_chance.uniform(*RETRY_SECONDS))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # the package's
        try:
            async with asyncio.timeout(CONNECT_SECONDS):  # the package's own limit is for each part of it
                await connection.connect()  # type: ignore[no-untyped-call]  # the package's
            yield connection
        finally:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    # What this process says

    async def _send(self, connection: AbstractConnection) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_seconds):
                    await self._news.wait()
            self._news.clear()
            is_last = self._is_leaving
            while True:
                steps = [self._unsent.popleft() for _ in range(min(MOST_AT_ONCE, len(self._unsent)))]
                await self._publish(connection, steps, leaves=is_last and not self._unsent)
                if not self._unsent:
                    break
            if is_last:
                return

    async def _publish(self, connection: AbstractConnection, steps: list[Step[Message]], *, leaves: bool) -> None:
        has_dropped, self._has_dropped = self._has_dropped, False
        try:
            word = {
                "planner": VERSION,
                "from": self._name,
                "dropped": has_dropped,
                "leaves": leaves,
                "steps": [
                    [step.line, step.begins, step.ends, [[topic, self._wire.write(said)] for topic, said in step.said]]
                    for step in steps
                ],
            }
            async with asyncio.timeout(SEND_SECONDS):
                await connection.send_command("PUBLISH", self._channel, orjson.dumps(word))
                await connection.read_response()
            self._told_of.discard("send")
        except BaseException:
            # It may have come, or not.
            UNSENT.inc(len(steps))
            self._has_dropped = has_dropped or bool(steps)
            raise

    def _drop(self) -> None:
        """What is unsent; the others are told so as soon as they can be."""
        if self._unsent:
            UNSENT.inc(len(self._unsent))
            self._unsent.clear()
            self._has_dropped = True

    # What it hears

    async def _listen(self, connection: AbstractConnection) -> None:
        if self._was_apart:
            await asyncio.sleep(REJOIN_SECONDS)
        await connection.send_command("SUBSCRIBE", self._channel)
        await connection.read_response()
        self._news.set()  # says at once that it is here, and hears that
        while True:
            async with asyncio.timeout(self._silent_seconds):
                _, _, said = await connection.read_response(timeout=math.inf)
            self._hear(said)
            await asyncio.sleep(0)  # what has come already is read without a pause, and a flood of it would have no end

    def _hear(self, said: bytes) -> None:
        try:
            word = orjson.loads(said)
            version, name = int(word["planner"]), str(word["from"])
        except (LookupError, TypeError, ValueError):
            self._note_unreadable()
            return
        if name != self._name:
            self._hear_other(version, name, word)
        elif not self._is_whole:
            self._join()
        self._miss_the_silent()

    def _join(self) -> None:
        """It hears what it says itself, so that others hear it too: Redis may let it listen, and not speak."""
        self._lines.forget()
        self._is_whole = True
        self._told_of.discard("listen")
        log.info("Redis: changes of other processes are heard")

    def _hear_other(self, version: int, name: str, word: dict[str, Any]) -> None:
        self._others[name] = time.monotonic()
        if version != VERSION:
            self._miss(Why.VERSION)
            return
        try:
            dropped, leaves = bool(word["dropped"]), bool(word["leaves"])
            steps = [
                Step(
                    str(line),
                    int(begins),
                    int(ends),
                    tuple((str(topic), self._wire.read(written)) for topic, written in told),
                )
                for line, begins, ends, told in word["steps"]
            ]
        except (LookupError, TypeError, ValueError):
            self._note_unreadable()
            self._miss(Why.UNREADABLE)
            return
        if dropped:
            self._miss(Why.DROPPED)
        for step in steps:
            self._take(step)
        if leaves:
            del self._others[name]

    def _take(self, step: Step[Message]) -> None:
        if self._is_whole:  # else nobody subscribes, and those between would be missed
            self._lines.take(step)

    def _tell(self, step: Step[Message]) -> None:
        for topic, message in step.said:
            self._here.publish(topic, message)

    def _tell_late(self, step: Step[Message]) -> None:
        for topic, message in step.said:
            self._here.miss(topic, message)

    def _miss(self, why: Why) -> None:
        if not self._is_whole:
            return  # nobody subscribes
        MISSED.labels(why).inc()
        log.warning("changes of other processes may have been missed (%s): all subscriptions end", why)
        self._here.end(Missed())
        self._lines.forget()

    def _miss_the_silent(self) -> None:
        heard_since = time.monotonic() - self._silent_seconds
        silent = [name for name, heard_at in self._others.items() if heard_at < heard_since]
        for name in silent:
            del self._others[name]
        if silent:
            self._miss(Why.SILENCE)  # it may have been killed between a commit and its word of it

    def _part(self) -> None:
        """Redis is gone, and with it what the others say meanwhile."""
        self._was_apart = True
        self._others.clear()
        if not self._is_leaving:
            self._miss(Why.REDIS)
            self._is_whole = False

    def _note_unreadable(self) -> None:
        UNREADABLE.inc()
        if time.monotonic() - self._unreadable_logged_at >= UNREADABLE_EVERY:
            self._unreadable_logged_at = time.monotonic()
            log.warning("a message in the channel is none that this planner reads")
