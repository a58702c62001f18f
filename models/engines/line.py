"""Those who wait for one thing, first come first."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class Line:
    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, pass_on: Callable[[], object]) -> None:
        """Until the caller is called. Whoever goes at that very moment passes it on, so that it is not lost."""
        called = asyncio.get_running_loop().create_future()
        self._waiting.append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                pass_on()
            raise
        finally:
            with suppress(ValueError):
                self._waiting.remove(called)

    def call_next(self) -> bool:
        """Whether there was anybody."""
        while self._waiting:
            called = self._waiting.popleft()
            if not called.done():
                called.set_result(None)
                return True
        return False

    def call_all(self) -> None:
        while self.call_next():
            pass
