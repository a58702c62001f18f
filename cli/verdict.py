"""Whether seats were given as they should be: a pure function of what was asked, answered and read back."""

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple


class Taking(NamedTuple):
    """When a client asked for the place that it holds, and had the answer: seconds of one steady clock."""

    sent: float
    answered: float


class Told(NamedTuple):
    """A client's place, as the server tells that client. The position is None with a seat."""

    status: str
    position: int | None


@dataclass(frozen=True)
class History:
    """`takings` and `told` are by the client's name. `confirmed` and `waiting` are the organiser's lists of names, the
    latter in its order; `line` is the latter as seen earlier, since when nobody in it has given up. `counts` are the
    event's own two numbers; `most_seen` is the largest number of taken seats in any answer."""

    capacity: int
    takings: dict[str, Taking]
    told: dict[str, Told]
    confirmed: list[str]
    waiting: list[str]
    line: list[str]
    counts: tuple[int, int]
    most_seen: int
    faults: list[str]


@dataclass(frozen=True)
class Verdict:
    """All but the first two are to be 0: `text` says what each counts."""

    confirmed: int
    in_line: int
    overbooked: int
    empty: int
    doubled: int
    lost: int
    skipped: int
    miscounted: int
    faults: int

    @property
    def holds(self) -> bool:
        wrong = (self.overbooked, self.empty, self.doubled, self.lost, self.skipped, self.miscounted, self.faults)
        return not any(wrong)

    def text(self, history: History) -> str:
        """For people: what was found, and what each number means."""
        meanings = {
            "overbooked": f"seats given beyond the {history.capacity} there are, now or in any answer",
            "empty": "seats that nobody holds while somebody waits",
            "doubled": "people with two places",
            "lost": "people who were given a place, and have none",
            "skipped": "people who wait behind somebody who came later",
            "miscounted": "differences between the event's counts, the organiser's list and what people are told",
            "faults": "requests without a good answer",
        }
        lines = [f"{self.confirmed} confirmed, {self.in_line} in line, {self.faults} faults"]
        lines += [f"{getattr(self, name):7} {name:<11} {meaning}" for name, meaning in meanings.items()]
        lines += [f"        such as: {fault}" for fault in sorted(set(history.faults))[:3]]
        return "\n".join([*lines, "The seats held." if self.holds else "The seats did NOT hold."])


def judge(history: History) -> Verdict:
    held = [*history.confirmed, *history.waiting]
    free = history.capacity - len(history.confirmed)
    return Verdict(
        confirmed=len(history.confirmed),
        in_line=len(history.waiting),
        overbooked=max(0, max(len(history.confirmed), history.counts[0], history.most_seen) - history.capacity),
        empty=max(0, min(free, len(history.waiting))),
        doubled=len(held) - len(set(held)),
        lost=len(history.takings.keys() - set(held)),
        skipped=_skipped(history),
        miscounted=_miscounted(history),
        faults=len(history.faults),
    )


def _skipped(history: History) -> int:
    """How many wait behind somebody who stood behind them in the line, or asked only after they had their answer. Whose
    requests overlapped in time may stand in either order."""
    stood = {name: position for position, name in enumerate(history.line)}
    skipped, furthest, latest = 0, -1, float("-inf")
    for number, name in enumerate(chain(history.confirmed, history.waiting)):
        position, taking = stood.get(name), history.takings.get(name)
        behind = position is not None and position < furthest
        later = taking is not None and taking.answered < latest
        if number >= len(history.confirmed) and (behind or later):
            skipped += 1
        furthest = max(furthest, -1 if position is None else position)
        latest = max(latest, taking.sent if taking else latest)
    return skipped


def _miscounted(history: History) -> int:
    """By how much the event's counts differ from its lists, and how many clients are told otherwise than these say."""
    places = {name: Told("CONFIRMED", None) for name in history.confirmed}
    places |= {name: Told("WAITLISTED", position) for position, name in enumerate(history.waiting, 1)}
    confirmed, waiting = history.counts
    off = abs(confirmed - len(history.confirmed)) + abs(waiting - len(history.waiting))
    return off + sum(places.get(name) != told for name, told in history.told.items())
