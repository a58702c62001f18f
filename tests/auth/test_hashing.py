"""Who asks for much waits for himself: turns in the line before the hashing threads, and who gives a place up."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for

import pytest

from auth.hashing import FairPool, Full, Stopped


class Line:
    """A pool of one thread, which is held at a gate; what was worked on, in its order."""

    def __init__(self, queue: int) -> None:
        self._gate, at_work = threading.Event(), threading.Event()
        self.pool = FairPool(1, queue, lambda: None)
        self.done: list[str] = []

        def hold() -> None:
            at_work.set()
            self._gate.wait(5)

        self.held = self.pool.submit(hold, "whoever was there before")
        at_work.wait(5)

    def comes(self, asker: str) -> Future[None]:
        return self.pool.submit(lambda: self.done.append(asker), asker)

    def opens(self, *waiting: Future[None]) -> None:
        """Until all of these are answered."""
        self._gate.set()
        wait_for(waiting, 5)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line(queue=6)
    yield made
    made.opens()
    made.pool.close()


def test_askers_take_turns(line: Line) -> None:
    line.opens(*[line.comes(asker) for asker in "aaaabb"])

    assert "".join(line.done) == "ababaa"


def test_who_has_most_in_a_full_line_makes_room_for_who_has_less(line: Line) -> None:
    flood = [line.comes("a") for _ in range(6)]

    others = [line.comes("b"), line.comes("c"), line.comes("b")]
    with pytest.raises(Full):
        line.comes("a")
    with pytest.raises(Full):
        line.comes("b")  # a has three as b would have: nobody has more
    line.opens(*others, *flood)

    assert [one.exception() is None for one in flood] == [True] * 3 + [False] * 3  # what came last
    assert "".join(line.done) == "abcaba"


def test_nobody_gives_up_an_only_place(line: Line) -> None:
    waiting = [line.comes(f"a{number}") for number in range(6)]

    with pytest.raises(Full):
        line.comes("b")
    line.opens(*waiting)

    assert all(one.exception() is None for one in waiting)


def test_who_goes_leaves_the_line(line: Line) -> None:
    for one in [line.comes("a") for _ in range(6)]:
        assert one.cancel()
    others = [line.comes("b") for _ in range(6)]
    line.opens(*others)

    assert "".join(line.done) == "b" * 6
    assert not line.pool._waiting


def test_what_fails_is_told_to_who_asked_and_others_go_on(line: Line) -> None:
    def fails() -> None:
        raise MemoryError

    failing, next_one = line.pool.submit(fails, "a"), line.comes("a")
    line.opens(failing, next_one)

    assert isinstance(failing.exception(), MemoryError)
    assert line.done == ["a"]


def test_who_waits_is_told_at_once_that_it_stops(line: Line) -> None:
    waiting = line.comes("a")

    line.pool.stop()

    assert isinstance(waiting.exception(0), Stopped)
    with pytest.raises(Stopped):
        line.comes("b")
    line.opens(line.held)
    assert line.held.exception() is None  # which was being worked on
    assert line.done == []
    assert line.pool.pending == 0


def test_a_line_that_fills_and_empties_all_the_time_loses_nothing() -> None:
    """Eight that come, and go, at once: each answer comes, and no place stays taken."""
    pool = FairPool(2, 4, lambda: None)
    ended: list[str] = []

    def floods(asker: str) -> None:
        for number in range(300):
            try:
                future = pool.submit(lambda: None, asker)
                if number % 3 == 0:
                    future.cancel()
                future.result(5)
                ended.append("done")
            except (Full, CancelledError) as refused:
                ended.append(type(refused).__name__)

    threads = [threading.Thread(target=floods, args=[f"{number % 3}"]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    wait_for([pool.submit(lambda: None, "last")], 5)
    pool.close()

    assert len(ended) == 8 * 300
    assert "done" in ended
    assert (pool._pending, len(pool._waiting)) == (0, 0)
