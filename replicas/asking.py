"""Redis, asked where an answer is worth little time: it may be gone, and nobody waits long to find out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from replicas.redis import connections

ANSWER_SECONDS = 1.0  # also where hundreds ask at once: an answer that takes longer is done without
REST_SECONDS = 1.0  # after it did not answer, it is not asked for as long; then by one who asks

UNANSWERED = Counter("planner_redis_unanswered", "Times that Redis was to be asked, and did not answer.", ["for"])
log = logging.getLogger("planner.replicas")


class Asking:
    """`what` says in the log for what it is asked, and `meanwhile` what is done where it does not answer. `prefix` is
    that of its keys."""

    def __init__(self, url: str, prefix: str, what: str, meanwhile: str) -> None:
        self.redis = Redis(connection_pool=connections(url, ANSWER_SECONDS, most=16))
        self._prefix, self._what, self._meanwhile = prefix, what, meanwhile
        self._unanswered = UNANSWERED.labels(what)  # made now, so that the first is an increase
        self._answers, self._rests_until = True, 0.0

    async def answer(self, ask: Callable[[], Awaitable[Any]], otherwise: Any) -> Any:
        """Redis's answer, or the other where it gives none in time. Then it rests: no more of those who ask wait."""
        if time.monotonic() < self._rests_until:
            self._unanswered.inc()
            return otherwise
        if not self._answers:
            self._rests_until = time.monotonic() + ANSWER_SECONDS  # for the others, while this one finds out
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if not self._answers:
                    await self._write()
                answer = await ask()
        except (RedisError, OSError) as problem:
            if self._answers:
                # Of the problem its kind alone: a text of the package's might hold what the address holds.
                log.warning("Redis, to %s: %s; %s", self._what, type(problem).__name__, self._meanwhile)
            self._answers = False
            self._unanswered.inc()
            self._rests_until = time.monotonic() + REST_SECONDS
            await self.redis.connection_pool.disconnect(inuse_connections=False)  # they broke too
            return otherwise
        if not self._answers:
            self._answers, self._rests_until = True, 0.0
            log.info("Redis, to %s: it answers again", self._what)
        return answer

    async def takes(self) -> bool:
        """Whether it takes what it is told, now."""
        return bool(await self.answer(self._write, False))

    async def _write(self) -> bool:
        # One that is full, or a replica, answers who reads from it; so what was read is no sign that it is well.
        return bool(await self.redis.set(f"{self._prefix}asked", 1, px=1_000))

    async def close(self) -> None:
        await self.redis.aclose(close_connection_pool=True)
