"""Where an operation reads: the primary, or a read replica, which may be a moment behind.

Three laws. Who has written reads what was written, in every process. What is asked while a subscription could be heard,
and what is asked to be fresh, is answered by the primary: whoever catches up misses nothing. Everybody else reads what
is at most models.replica.STALE_SECONDS old.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphql import OperationType

from auth.tokens import LEEWAY_SECONDS
from models.replica import STALE_SECONDS, ReadReplica
from replicas.places import Places
from schema.context import Context

PLACE_SECONDS = 1.0  # for the primary to say how far it has written
# Whoever has just signed up or in has written, and had no token yet by which it could be noted.
YOUNG_SECONDS = STALE_SECONDS + LEEWAY_SECONDS

log = logging.getLogger("planner.database")


class Freshness:
    def __init__(self, replica: ReadReplica, places: Places) -> None:
        self.replica, self._places = replica, places

    @asynccontextmanager
    async def around(self, kind: OperationType, context: Context) -> AsyncIterator[None]:
        """In here the operation runs."""
        if kind is OperationType.MUTATION:
            try:
                yield
            finally:
                if claims := context.claims:
                    await self._note(claims.user_id)
        elif await self._may_be_behind(context):
            with self.replica.answering():
                yield
        else:
            yield

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """In here the replica is watched; before and after, all is read from the primary."""
        watching = asyncio.create_task(self.replica.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await self._places.close()

    async def may_be_behind(self, account: str | None) -> bool:
        """Whether the replica may answer the account, or somebody who has none."""
        if not self.replica.is_usable:
            return False
        place = 0 if account is None else await self._places.of(account)
        return place is not None and self.replica.has(place)

    async def _may_be_behind(self, context: Context) -> bool:
        if context.is_to_be_fresh:
            return False
        claims = context.claims
        if claims is None:
            return await self.may_be_behind(None)
        is_young = context.now.timestamp() - claims.issued_at <= YOUNG_SECONDS
        return not is_young and await self.may_be_behind(claims.user_id)

    async def _note(self, account: str) -> None:
        """Returns once nothing is read for the account, in any process, that lacks what it has written."""
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                place = await self.replica.place_now()
        except Exception as problem:  # the mutation is done, or refused, and answers for itself
            log.info("how far the primary has written is not known: %s", type(problem).__name__)
            await self.replica.reach(None)
            return
        if not await self._places.note(account, place):
            await self.replica.reach(place)
