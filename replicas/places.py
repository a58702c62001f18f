"""Up to where each account has written, so that what it reads next has it: a place in the database's log, as a number
that grows.

Of accounts that are not remembered the latest place of all that were forgotten is told: theirs is no later.
"""

from collections import OrderedDict

from replicas.asking import Asking

MOST = 10_000  # accounts that a process remembers
KEPT_SECONDS = 60  # in Redis: for longer than a read replica may be behind

# Of two requests of one account, the one that wrote last need not be the last to tell.
_NOTE = """
if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return 1
"""
_NO_ANSWER = object()


class Places:
    """Of one process."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._forgotten = most, 0
        self._last: OrderedDict[str, int] = OrderedDict()

    async def note(self, account: str, place: int) -> bool:
        """False where the other processes could not be told."""
        self._last[account] = max(place, self._last.pop(account, 0))
        if len(self._last) > self._most:
            self._forgotten = max(self._forgotten, self._last.popitem(last=False)[1])
        return True

    async def of(self, account: str) -> int | None:
        """None where nobody can tell."""
        return self._last.get(account, self._forgotten)

    async def close(self) -> None:
        """Nothing is told after this."""


class SharedPlaces(Places):
    """Of all processes, by Redis. `prefix` is the installation's own."""

    def __init__(self, url: str, prefix: str) -> None:
        super().__init__()
        self._asking = Asking(url, prefix, "tell who has written", "who is signed in reads from the primary")
        self._note = self._asking.redis.register_script(_NOTE)
        self._prefix = prefix

    async def note(self, account: str, place: int) -> bool:
        await super().note(account, place)
        told = await self._asking.answer(lambda: self._note([self._prefix + account], [place, KEPT_SECONDS]), False)
        return bool(told)

    async def of(self, account: str) -> int | None:
        told = await self._asking.answer(lambda: self._asking.redis.get(self._prefix + account), _NO_ANSWER)
        here = await super().of(account)
        return None if told is _NO_ANSWER or here is None else max(here, int(told or 0))

    async def close(self) -> None:
        await self._asking.close()
