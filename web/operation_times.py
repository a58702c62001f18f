"""How long operations took, by name and kind, and whose names are told.

Names are the clients', anybody is a client, and each name costs memory here and in Prometheus. So MOST_NAMES have a
place of their own, those that are used most; all others are `other`. An operation is noted as often as there are
requests, so in plain lists: a Histogram of prometheus_client takes 9 times as long.
"""

from bisect import bisect_left
from collections.abc import Iterable
from heapq import nlargest, nsmallest
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from executor import Operation

MOST_NAMES = 100
LONGEST_NAME = 64  # characters
MOST_CANDIDATES = 1_000
RENEW_SECONDS = 300.0
MOST_RENEWED = 5  # at once; so, however many names are made up, 60 an hour get a place
ANONYMOUS, OTHER, REFUSED = "anonymous", "other", "refused"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

Label = tuple[str | None, str]  # a name, and the kind of the operation


class OperationTimes(Collector):
    """Of queries and mutations. A name is `other` before its document was kept and used again, and while as many
    others as have a place are used more. A document that is not valid, or asks for too much, is `refused`."""

    def __init__(self) -> None:
        # From the start: of a series that begins at 1, Prometheus knows no increase.
        kinds = ("query", "mutation")
        self._refused = Times()
        self._others = {kind: Times() for kind in kinds}
        self._times: dict[Label, Times] = {
            (REFUSED, ""): self._refused,
            **{(OTHER, kind): times for kind, times in self._others.items()},
            **{(None, kind): Times() for kind in kinds},
        }
        self._places: dict[Label, _Place] = {}
        self._candidates = _Candidates()

    def note(self, operation: Operation | None, seconds: float) -> None:
        times = self._refused if operation is None else self._times.get(operation.label) or self._of(operation)
        times.buckets[bisect_left(SECONDS, seconds)] += 1
        times.seconds += seconds

    def _of(self, operation: Operation) -> "Times":
        name, kind = operation.label
        is_unfit = name in {ANONYMOUS, OTHER, REFUSED} or len(name or "") > LONGEST_NAME
        if is_unfit or not operation.document.was_used_again:
            return self._others[kind]
        if len(self._places) < MOST_NAMES:
            return self._give_place(operation.label, 0)
        self._candidates.note(operation.label)
        return self._others[kind]

    def _give_place(self, label: Label, uses: int) -> "Times":
        times = self._times[label] = Times()
        self._places[label] = _Place(times, uses)
        return times

    def renew(self) -> None:
        """At each RENEW_SECONDS: gives some of the places whose names are used least to names that are used more than
        twice as often. What was used before counts half each time."""
        for place in self._places.values():
            place.renew()
        rising = nlargest(MOST_RENEWED, self._candidates.uses.items(), key=lambda one: one[1])
        fading = nsmallest(MOST_RENEWED, self._places.items(), key=lambda one: one[1].uses)
        for (label, uses), (loser, place) in zip(rising, fading, strict=False):
            if uses <= 2 * place.uses:
                break
            # Its series ends here. What it counted is not added to `other`, where it would seem to be of now.
            del self._times[loser], self._places[loser], self._candidates.uses[label]
            self._give_place(label, uses)
        self._candidates.renew()

    def collect(self) -> Iterable[Metric]:
        told = HistogramMetricFamily(
            "planner_operation_seconds", "GraphQL operations by how long they took.", labels=["operation", "kind"]
        )
        for (name, kind), times in [*self._times.items()]:  # a copy: this is another thread
            told.add_metric([name or ANONYMOUS, kind], times.told, times.seconds)
        yield told


class Times:
    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets, self.seconds = [0] * (len(SECONDS) + 1), 0.0

    @property
    def told(self) -> list[tuple[str, float]]:
        """Each bucket holds those below it too, as Prometheus wants them."""
        return [*zip(_BOUNDS, accumulate(self.buckets), strict=True)]


_BOUNDS = [*(str(float(bound)) for bound in SECONDS), "+Inf"]


class _Place:
    """How much a name that has one is used. It is worked out from its times, so that noting them costs no more."""

    def __init__(self, times: Times, uses: int) -> None:
        self._times, self.uses = times, uses
        self._seen = 0

    def renew(self) -> None:
        count = sum(self._times.buckets)
        self.uses = self.uses // 2 + count - self._seen
        self._seen = count


class _Candidates:
    """How much the names are used that have no place, of which there may be any number: by Misra and Gries, whatever
    makes up more than one in MOST_CANDIDATES of all uses is kept, in constant time each."""

    def __init__(self) -> None:
        self.uses: dict[Label, int] = {}

    def note(self, label: Label) -> None:
        if label in self.uses or len(self.uses) < MOST_CANDIDATES:
            self.uses[label] = self.uses.get(label, 0) + 1
        else:
            self.uses = {other: uses - 1 for other, uses in self.uses.items() if uses > 1}

    def renew(self) -> None:
        self.uses = {label: uses // 2 for label, uses in self.uses.items() if uses > 1}
