"""Which message of a line is told next, wherever it came from.

Each step of a line says where it begins and where it ends, and the next one begins there (for an event, models/wire.py
counts its commits). Processes hear of their commits, and of each other's, in any order; here each step waits for the
one before it. So the order is the line's own, and a step that is lost is noticed.

Only where a line has not been heard of does its first step say nothing about those before it. It waits a moment for
one that was overtaken. One that comes still later is told to nobody, and who wants it is told that it was missed.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from replicas import Message

SETTLE_SECONDS = 0.02  # for a line of which nothing is known: several times what word takes between processes
PATIENCE_SECONDS = 2.0  # for a step that is known to be missing: its process may be busy
MOST_LINES = 100_000  # whose last number is kept, in some 15 MB
MOST_HELD = 10_000  # steps that wait


@dataclass(frozen=True, slots=True)
class Step(Generic[Message]):
    """Messages of one line, each with its topic, that are told together or not at all."""

    line: str
    begins: int
    ends: int
    said: tuple[tuple[str, Message], ...]


@dataclass(slots=True)
class _Held(Generic[Message]):
    steps: dict[int, Step[Message]] = field(default_factory=dict)  # by where they begin
    timer: asyncio.TimerHandle | None = None


class Lines(Generic[Message]):
    """Calls `tell` with each step in its turn, `late` with one whose turn is over, and `lost` where one never came."""

    def __init__(
        self,
        tell: Callable[[Step[Message]], None],
        late: Callable[[Step[Message]], None],
        lost: Callable[[], None],
        *,
        settle_seconds: float = SETTLE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        most_lines: int = MOST_LINES,
    ) -> None:
        self._tell, self._late, self._lost = tell, late, lost
        self._settle_seconds, self._patience_seconds, self._most_lines = settle_seconds, patience_seconds, most_lines
        self._told_to: OrderedDict[str, int] = OrderedDict()  # where the last told step ended; told last is last
        self._held: dict[str, _Held[Message]] = {}
        self._held_count = 0

    def take(self, step: Step[Message]) -> None:
        told_to = self._told_to.get(step.line, 0 if step.begins == 0 else None)
        if told_to is not None and step.begins < told_to:
            self._late(step)
        elif step.begins == told_to:
            self._tell_from(step)
        elif self._held_count == MOST_HELD:
            self._lost()
        else:
            self._hold(step, is_known=told_to is not None)

    def forget(self) -> None:
        """All of it: from now on nothing is known of any line."""
        for held in self._held.values():
            if held.timer:
                held.timer.cancel()
        self._held.clear()
        self._told_to.clear()
        self._held_count = 0

    def _tell_from(self, step: Step[Message]) -> None:
        """The step, and those that waited for it."""
        held = self._held.get(step.line)
        following: Step[Message] | None = step
        while following:
            self._told_to[step.line] = following.ends
            self._tell(following)
            following = held.steps.pop(following.ends, None) if held else None
            self._held_count -= following is not None
        self._told_to.move_to_end(step.line)
        if len(self._told_to) > self._most_lines:
            self._told_to.popitem(last=False)
        if held and held.timer:
            held.timer.cancel()
            if held.steps:
                self._wait(step.line, held, self._patience_seconds, self._lost)
            else:
                del self._held[step.line]

    def _hold(self, step: Step[Message], *, is_known: bool) -> None:
        held = self._held.setdefault(step.line, _Held())
        held.steps[step.begins] = step
        self._held_count += 1
        if held.timer is None:
            if is_known:
                self._wait(step.line, held, self._patience_seconds, self._lost)
            else:
                self._wait(step.line, held, self._settle_seconds, lambda: self._begin(step.line))

    def _wait(self, line: str, held: _Held[Message], seconds: float, then: Callable[[], None]) -> None:
        due = time.monotonic() + seconds

        def is_over() -> None:
            if time.monotonic() - due > seconds:  # this process stood still, and has not read yet what came meanwhile
                self._wait(line, held, seconds, then)
            else:
                then()

        held.timer = asyncio.get_running_loop().call_later(seconds, is_over)

    def _begin(self, line: str) -> None:
        """The first that came of a line of which nothing was known is where it begins here."""
        steps = self._held[line].steps
        self._held_count -= 1
        self._tell_from(steps.pop(min(steps)))
