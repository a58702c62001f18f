"""How often something may be tried. A refusal tells when to come back, and the wait grows with the tries.

The package `limits` counts, in windows that begin with the first try. Where the counts are kept is behind its interface
`Storage`, so that processes can share them. Its own memory is not used: each try looks at every count that there is,
which takes 21 ms where there are 100,000 (measured).

What one kind of try fills, it takes from itself: a flood of one makes no count of another's forgotten.

Where several processes serve, Redis counts for all of them. While it does not answer, each counts for itself.
"""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import ceil

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from errors import RateLimited
from replicas.asking import Asking

MOST = 100_000  # counts in a process's memory, some 30 MB: a flood of made-up names takes no more


@dataclass(frozen=True)
class Count:
    """The tries of one kind by, or at, one of whom no more than a name is known."""

    kind: str
    name: str
    per_hour: int

    @property
    def windows(self) -> tuple[RateLimitItem, ...]:
        return _windows(self.per_hour)


@lru_cache(64)
def _windows(per_hour: int) -> tuple[RateLimitItem, ...]:
    # Who tries on waits for up to a minute, then for up to an hour, then for up to a day.
    return (
        RateLimitItemPerMinute(ceil(per_hour / 4)),
        RateLimitItemPerHour(per_hour),
        RateLimitItemPerDay(per_hour * 3),
    )


class Rates:
    """`clock` is the storage's: seconds since 1970."""

    def __init__(self, storage: Storage | None = None, clock: Callable[[], float] = time.time) -> None:
        self._storage = Memory(clock) if storage is None else storage
        self._clock = clock
        self._limiter = FixedWindowRateLimiter(self._storage)

    async def take(self, *counts: Count) -> None:
        """Counts a try at each, or at none and raises RateLimited: who is refused does not lengthen the wait."""
        taken = [(window, count) for count in counts for window in count.windows]
        full = [one for one in taken if not await self._limiter.test(one[0], one[1].kind, one[1].name)]
        if not full:
            full = await self._hit(taken)
        if full:
            raise RateLimited(max([await self._wait(window, count) for window, count in full]))

    async def _hit(self, taken: Sequence[tuple[RateLimitItem, Count]]) -> list[tuple[RateLimitItem, Count]]:
        """Counts the try. Where others share the storage, one of them may have filled a window in between: that one is
        the answer, and nothing stays counted, else a thousand at once would fill the hour and the day too."""
        for number, (window, count) in enumerate(taken, 1):
            if not await self._limiter.hit(window, count.kind, count.name):
                for also, of in taken[:number]:
                    await self._limiter.hit(also, of.kind, of.name, cost=-1)
                return [(window, count)]
        return []

    async def give_back(self, *counts: Count) -> None:
        """Undoes one `take`."""
        for count in counts:
            for window in count.windows:
                await self._limiter.hit(window, count.kind, count.name, cost=-1)

    async def clear(self, count: Count) -> None:
        for window in count.windows:
            await self._limiter.clear(window, count.kind, count.name)

    async def are_shared(self) -> bool:
        """Whether all processes count together now: else each counts for itself."""
        return await self._storage.check()

    async def close(self) -> None:
        if isinstance(self._storage, Shared):
            await self._storage.close()

    async def _wait(self, window: RateLimitItem, count: Count) -> int:
        ends = await self._storage.get_expiry(window.key_for(count.kind, count.name))
        return max(1, ceil(ends - self._clock()))


class Memory(Storage):
    """Counts of this process, of which there are never more than `most`: then the oldest is forgotten, of the kind of
    which there are most."""

    STORAGE_SCHEME = None  # not found by an address

    def __init__(self, clock: Callable[[], float] = time.time, most: int = MOST) -> None:
        super().__init__()
        self._clock, self._most = clock, most
        # By kind: how many, and when the window ends; the oldest window first, which a plain dict finds slowly.
        self._kinds: defaultdict[str, OrderedDict[str, tuple[int, float]]] = defaultdict(OrderedDict)

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        counts, now = self._of_kind(key), self._clock()
        count, ends = counts.get(key, (0, 0.0))
        if ends <= now:
            counts.pop(key, None)  # so that it is put last
            self._make_room(counts, now)
            count, ends = 0, now + expiry
        count += amount
        if count > 0:
            counts[key] = (count, ends)
        else:
            # All is given back, or was forgotten before. It takes no place any more: else tries that cost nothing, as
            # those that find the queue of hashes full, would have others' counts forgotten.
            counts.pop(key, None)
        return max(0, count)

    async def get(self, key: str) -> int:
        count, ends = self._of_kind(key).get(key, (0, 0.0))
        return count if ends > self._clock() else 0

    async def get_expiry(self, key: str) -> float:
        return self._of_kind(key).get(key, (0, self._clock()))[1]

    async def clear(self, key: str) -> None:
        self._of_kind(key).pop(key, None)

    async def reset(self) -> int | None:
        forgotten = len(self)
        self._kinds.clear()
        return forgotten

    async def check(self) -> bool:
        return True

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return ()

    def __len__(self) -> int:
        return sum(len(counts) for counts in self._kinds.values())

    def _of_kind(self, key: str) -> OrderedDict[str, tuple[int, float]]:
        return self._kinds[key.split("/", 2)[1]]  # behind the package's own prefix

    def _make_room(self, counts: OrderedDict[str, tuple[int, float]], now: float) -> None:
        # Two that are over for each that comes: they go as quickly as they came, and no try pays for all of them.
        for key in [*islice(counts, 2)]:
            if counts[key][1] <= now:
                del counts[key]
        if len(self) >= self._most:
            max(self._kinds.values(), key=len).popitem(last=False)


# What is given back was taken in this window, or in one that is over: then there is nothing to take it from.
_INCREASE = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count <= 0 then
    redis.call('DEL', KEYS[1])
    return 0
end
if count == tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return count
"""


class Shared(Storage):
    """Counts in Redis, which forgets them when their window is over. `prefix` is the installation's own.

    They are kept in this process as well: where Redis does not answer, what was tried here is not begun anew.
    """

    STORAGE_SCHEME = None  # not found by an address

    def __init__(self, url: str, prefix: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._asking = Asking(url, prefix, "count", "each process counts for itself")
        self._redis, self._asked = self._asking.redis, self._asking.answer
        self._increase = self._redis.register_script(_INCREASE)
        self._here = Memory(clock)
        self._prefix, self._clock = prefix, clock

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        here = await self._here.incr(key, expiry, amount)
        asked = await self._asked(lambda: self._increase([self._prefix + key], [amount, ceil(expiry * 1000)]), here)
        return int(asked)

    async def get(self, key: str) -> int:
        return int(await self._asked(lambda: self._redis.get(self._prefix + key), await self._here.get(key)) or 0)

    async def get_expiry(self, key: str) -> float:
        left = await self._asked(lambda: self._redis.pttl(self._prefix + key), None)
        if left is None:
            return await self._here.get_expiry(key)
        return self._clock() + max(0, int(left)) / 1000

    async def clear(self, key: str) -> None:
        await self._here.clear(key)
        await self._asked(lambda: self._redis.delete(self._prefix + key), None)

    async def reset(self) -> int | None:
        forgotten = [key async for key in self._redis.scan_iter(f"{self._prefix}*")]
        await self._here.reset()
        return int(await self._redis.delete(*forgotten)) if forgotten else 0

    async def check(self) -> bool:
        return await self._asking.takes()

    async def close(self) -> None:
        await self._asking.close()

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return RedisError
