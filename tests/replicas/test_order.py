"""Steps of lines, come in any order from anywhere, are told in the order of each line."""

import asyncio
import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from replicas.order import Lines, Step


class Ear:
    """What is told, by line."""

    def __init__(self, **seconds: float) -> None:
        self.told: list[tuple[str, int]] = []
        self.late: list[tuple[str, int]] = []
        self.losses = 0
        limits = {"settle_seconds": 0.01, "patience_seconds": 0.05, **seconds}
        self.lines = Lines[str](self._told, self._late, self._lost, **limits)  # type: ignore[arg-type]  # of which none is most_lines

    def takes(self, *steps: int, line: str = "talk") -> None:
        for begins in steps:
            self.lines.take(Step(line, begins, begins + 1, (("events", "changed"),)))

    def of(self, line: str) -> list[int]:
        return [begins for at, begins in self.told if at == line]

    def _told(self, step: Step[str]) -> None:
        self.told.append((step.line, step.begins))

    def _late(self, step: Step[str]) -> None:
        self.late.append((step.line, step.begins))

    def _lost(self) -> None:
        self.losses += 1
        self.lines.forget()


@given(st.integers(), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_whatever_order_steps_come_in_each_line_is_told_in_its_own(seed: int, lines: int) -> None:
    steps = [(line, begins) for line in range(lines) for begins in range(8)]
    random.Random(seed).shuffle(steps)  # noqa: S311 - no secret

    async def heard() -> Ear:
        ear = Ear()
        for line, begins in steps:
            ear.takes(begins, line=str(line))
        return ear

    ear = asyncio.run(heard())

    assert [ear.of(str(line)) for line in range(lines)] == [[*range(8)]] * lines
    assert (ear.late, ear.losses) == ([], 0)


async def test_whoever_stood_still_waits_again() -> None:
    ear = Ear()
    ear.takes(0, 2)
    time.sleep(0.2)  # noqa: ASYNC251 - the loop stands still, with the missing step in a socket
    await asyncio.sleep(0.01)  # its timers come first
    ear.takes(1)

    assert (ear.of("talk"), ear.losses) == ([0, 1, 2], 0)


async def test_a_line_that_is_known_waits_for_no_clock() -> None:
    ear = Ear()
    ear.takes(0, 1)

    ear.takes(2)

    assert ear.of("talk") == [0, 1, 2]


async def test_the_first_of_an_unknown_line_waits_for_one_that_it_overtook() -> None:
    ear = Ear()

    ear.takes(8)
    ear.takes(7)
    assert ear.of("talk") == []
    await asyncio.sleep(0.03)
    ear.takes(9)

    assert ear.of("talk") == [7, 8, 9]
    assert (ear.late, ear.losses) == ([], 0)


async def test_one_that_comes_later_still_is_late() -> None:
    ear = Ear()
    ear.takes(8)
    await asyncio.sleep(0.03)

    ear.takes(7)

    assert (ear.of("talk"), ear.late, ear.losses) == ([8], [("talk", 7)], 0)


async def test_one_that_never_comes_is_noticed() -> None:
    ear = Ear()
    ear.takes(0)
    ear.takes(2, 3)
    assert ear.of("talk") == [0]

    await asyncio.sleep(0.1)

    assert (ear.of("talk"), ear.losses) == ([0], 1)


async def test_a_hole_behind_what_has_come_is_noticed() -> None:
    ear = Ear()
    ear.takes(5, 7)

    await asyncio.sleep(0.03)
    assert ear.of("talk") == [5]
    await asyncio.sleep(0.08)

    assert ear.losses == 1


async def test_as_many_lines_are_known_as_may_be() -> None:
    ear = Ear(most_lines=2)
    for line in ("a", "b", "c"):
        ear.takes(0, line=line)

    ear.takes(1, line="c")
    ear.takes(1, line="a")  # not known any more: it waits a moment
    assert ear.of("a") == [0]
    await asyncio.sleep(0.03)

    assert (ear.of("a"), ear.of("c")) == ([0, 1], [0, 1])
    assert ear.losses == 0
