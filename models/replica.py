"""A read replica: a PostgreSQL that follows the primary's log, and answers what may be a moment old.

A place in the log is a number of bytes from its beginning (PostgreSQL's pg_lsn). What is told here of the replica was
true a moment ago, and since places only grow, it has at least what it was seen to have.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from models.database import CANNOT_USE, connect, database_config, place_of, replica_credentials
from models.engines.asyncpg_replica import ReplicaClient
from models.reads import answered_by, query
from settings import Settings

STALE_SECONDS = 5.0  # a replica that is further behind is not asked
LOOK_SECONDS = 0.1
ANSWER_SECONDS = 2.0  # for each look; after as long without an answer it is not asked either
RETRY_SECONDS = 1.0
MOST_LOOKS = 1_000  # that are remembered

# Of the primary what is on its disk: where it stands still, a replica reaches that, and not always what is beyond.
_WRITTEN = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint"
_DONE = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS place"
_REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END"
_SYSTEM = "SELECT system_identifier FROM pg_control_system()"

log = logging.getLogger("planner.database")


class NoReplica(Exception):
    """What answers follows another server, or none."""


class ReadReplica:
    def __init__(self, settings: Settings) -> None:
        self._primary = database_config(settings)["connections"]["default"]["credentials"]
        self._replica = replica_credentials(settings)
        self._client = ReplicaClient(connection_name="replica", **self._replica)
        self._address = place_of(settings.database_read_url)
        # When the primary had written up to where: what the replica has not reached yet.
        self._written: deque[tuple[float, int]] = deque(maxlen=MOST_LOOKS)
        self._replayed = 0
        self._is_as_of = -math.inf  # the replica has all that there was then
        self._looked_at = self._watched_since = -math.inf
        self._looked = asyncio.Event()
        self._was_told: str | None = "nobody has looked at it yet"

    @property
    def behind_seconds(self) -> float:
        """How old what it answers may be; infinite where that is not known."""
        return time.monotonic() - self._is_as_of

    @property
    def is_usable(self) -> bool:
        now = time.monotonic()
        return now - self._is_as_of <= STALE_SECONDS and now - self._looked_at <= ANSWER_SECONDS

    @property
    def unanswered(self) -> int:
        """Statements that it did not answer, and the primary did."""
        return self._client.unanswered

    def has(self, place: int) -> bool:
        return place <= self._replayed

    def answering(self) -> AbstractContextManager[None]:
        """What is read in here is read from it."""
        return answered_by(self._client)

    async def place_now(self) -> int:
        """What the primary's log holds by now. Raises what a read raises."""
        (row,) = await query(_DONE, [])
        return int(row["place"])

    async def reach(self, place: int | None) -> None:
        """Returns as soon as nothing is read from the replica that lacks this place, or for None what is written by
        now."""
        has_all_of_now = time.monotonic() + STALE_SECONDS
        while self._is_as_of > -math.inf and not (place is not None and self.has(place)):
            self._looked.clear()
            try:
                async with asyncio.timeout(has_all_of_now - time.monotonic()):
                    await self._looked.wait()
            except TimeoutError:
                return

    async def bytes_behind(self) -> int:
        """How much of the primary's log it has not replayed. Raises NoReplica, CANNOT_USE."""
        async with self._connected() as (primary, replica):
            written, replayed = await primary.fetchval(_WRITTEN), await replica.fetchval(_REPLAYED)
            if replayed is None:
                raise NoReplica("it follows no server")
            return max(0, int(written) - int(replayed))

    async def watch(self) -> None:
        """Looks at both servers, over connections of its own, until it is cancelled."""
        try:
            await self._watch()
        finally:
            await self._client.close()

    async def _watch(self) -> None:
        while True:
            try:
                async with self._connected() as (primary, replica):
                    self._watched_since = time.monotonic()
                    while True:
                        await self._look(primary, replica)
                        await asyncio.sleep(LOOK_SECONDS)
            except (*CANNOT_USE, NoReplica) as problem:
                self._lose(str(problem) or type(problem).__name__)
            except Exception:
                # And goes on: it has to outlive whatever it meets.
                self._lose("a fault of the planner's own")
                log.exception("what watches the read replica failed")
            await asyncio.sleep(RETRY_SECONDS)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[Any, Any]]:
        primary = await connect(self._primary)
        try:
            replica = await connect(self._replica)
            try:
                if await primary.fetchval(_SYSTEM) != await replica.fetchval(_SYSTEM):
                    raise NoReplica("it follows another server than that of DATABASE_URL")
                yield primary, replica
            finally:
                replica.terminate()
        finally:
            primary.terminate()

    async def _look(self, primary: Any, replica: Any) -> None:
        begun = time.monotonic()
        async with asyncio.timeout(ANSWER_SECONDS):
            self._written.append((begun, await primary.fetchval(_WRITTEN)))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                replayed = await replica.fetchval(_REPLAYED)
        except TimeoutError:
            self._client.interrupt()
            raise
        if replayed is None:
            raise NoReplica("it follows no server")
        self._replayed = replayed
        while self._written and self._written[0][1] <= replayed:
            self._is_as_of = self._written.popleft()[0]
        self._looked_at = time.monotonic()
        self._looked.set()
        if self.is_usable:
            self._tell(None)
        elif begun - self._watched_since > STALE_SECONDS:
            self._tell("it is too far behind")

    def _lose(self, problem: str) -> None:
        # What answers at this address next may be another one, which is further behind.
        self._replayed, self._is_as_of, self._looked_at = 0, -math.inf, -math.inf
        self._written.clear()
        self._looked.set()
        self._tell(problem)

    def _tell(self, problem: str | None) -> None:
        """In the log, once."""
        if problem == self._was_told:
            return
        self._was_told = problem
        if problem is None:
            log.info("the read replica %s is asked", self._address)
        else:
            log.warning("the read replica %s is not asked, and the primary is: %s", self._address, problem)
