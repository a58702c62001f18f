"""The threads that hash, and the line before them. In it askers take turns: who asks for much waits for himself.

Nobody's share is fixed: one asker may fill the line while no other wants a place. Where it is full, who has most in it
gives up what came last for whoever has less.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from prometheus_client import Counter

REFUSED = Counter("planner_hashes_refused", "Passwords that found no place in the line before the threads, or lost it.")

T = TypeVar("T")


class Full(Exception):
    """There is no place in the line. `pending` says how many are before."""

    def __init__(self, pending: int) -> None:
        super().__init__(f"{pending} are pending")
        REFUSED.inc()
        self.pending = pending


class Stopped(Exception):
    """The line is no longer open: the process ends. What waits here has not been begun."""

    def __init__(self) -> None:
        super().__init__("the line is no longer open")
        REFUSED.inc()


class FairPool:
    """Works in `threads`; up to `queue` more wait. `initializer` is called in each thread."""

    def __init__(self, threads: int, queue: int, initializer: Callable[[], None]) -> None:
        self._threads, self._queue = threads, queue
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bcrypt", initializer=initializer)
        self._lock = threading.Lock()
        self._working = 0  # threads
        self._pending = 0
        self._is_stopped = False
        # By asker, in the order of their turns; what each waits for, in the order in which it came.
        self._waiting: OrderedDict[str, dict[Future[Any], Callable[[], Any]]] = OrderedDict()

    def submit(self, work: Callable[[], T], asker: str) -> Future[T]:
        """Raises Full, here or by the future, where others have come that have less in the line; and Stopped."""
        future: Future[T] = Future()
        evicted = None
        with self._lock:
            if self._is_stopped:
                raise Stopped
            pending = self._pending
            if pending >= self._threads + self._queue:
                evicted = self._make_room(asker)
                if evicted is None:
                    raise Full(pending)
            if self._working < self._threads:
                self._pool.submit(self._work)
                self._working += 1
            self._waiting.setdefault(asker, {})[future] = work
            self._pending += 1
        # Outside the lock, which their callbacks take.
        future.add_done_callback(lambda done: self._leave(done, asker))
        if evicted and evicted.set_running_or_notify_cancel():
            evicted.set_exception(Full(pending))
        return future

    def stop(self) -> None:
        """Who waits is told Stopped at once, and so is who comes; what is being worked on comes to its end."""
        with self._lock:
            self._is_stopped = True
            waiting = [future for futures in self._waiting.values() for future in futures]
            self._waiting.clear()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(Stopped())

    def close(self) -> None:
        """What is being worked on is not waited for."""
        self.stop()
        self._pool.shutdown(wait=False)

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def pending(self) -> int:
        """What is not done yet, whether it waits or is being worked on."""
        return self._pending

    def _make_room(self, asker: str) -> Future[Any] | None:
        """What somebody who has more in the line gives up: None where nobody has more than the asker would have."""
        if not self._waiting:
            return None
        most = max(self._waiting, key=lambda one: len(self._waiting[one]))
        if len(self._waiting[most]) <= len(self._waiting.get(asker, ())) + 1:
            return None
        future, _ = self._waiting[most].popitem()
        return future

    def _work(self) -> None:
        while taken := self._take():
            future, work = taken
            if not future.set_running_or_notify_cancel():
                continue  # whoever asked has gone
            try:
                result = work()
            except BaseException as error:  # whatever it is, it is told to who asked, as ThreadPoolExecutor does
                future.set_exception(error)
            else:
                future.set_result(result)

    def _take(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """The next in turn; None where nobody waits, and then the thread no longer works."""
        with self._lock:
            if not self._waiting:
                self._working -= 1
                return None
            asker, futures = self._waiting.popitem(last=False)
            future = next(iter(futures))
            work = futures.pop(future)
            if futures:
                self._waiting[asker] = futures  # behind all others
            return future, work

    def _leave(self, future: Future[Any], asker: str) -> None:
        with self._lock:
            self._pending -= 1
            futures = self._waiting.get(asker, {})
            if futures.pop(future, None) and not futures:  # it was cancelled while it waited
                del self._waiting[asker]
