"""Whether a figure grew: its mean in the last quarter of the time against that in the second, before which all warms
up."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# By how much the mean may grow. All else may grow, such as a database in which people write, or is bounded by itself.
BOUNDS = {"memory, MiB": 8.0, "descriptors": 8.0, "threads": 2.0}
HEAD = f"{'mean of a quarter':<36}{'second':>10}{'last':>10}{'grew by':>9}{'at most':>9}{'peak':>10}"


Figures = Mapping[str, float]  # by their names


@dataclass(frozen=True)
class Growth:
    name: str
    second: float
    last: float
    peak: float
    most: float | None

    @property
    def by(self) -> float:
        return self.last - self.second

    @property
    def is_too_much(self) -> bool:
        return self.most is not None and self.by > self.most

    @property
    def text(self) -> str:
        most = "" if self.most is None else f"{self.most:g}"
        row = f"{self.name:<36}{self.second:>10.1f}{self.last:>10.1f}{self.by:>+9.1f}{most:>9}{self.peak:>10.1f}"
        return f"{row}  GREW" if self.is_too_much else row


def growths(samples: Sequence[Figures]) -> list[Growth]:
    """Of each figure; the samples are taken at even distances."""
    number, found = len(samples), []
    for name in samples[-1]:
        values = [sample[name] for sample in samples]
        second, last = statistics.mean(values[number // 4 : number // 2]), statistics.mean(values[number * 3 // 4 :])
        found.append(Growth(name, second, last, max(values), BOUNDS.get(name.rpartition(": ")[2])))
    return found


def is_warm(found: Sequence[Growth]) -> bool:
    """Whether the store of documents, which fills last, was full by the second quarter: else what grew is that."""
    documents = next(growth for growth in found if growth.name == "documents kept")
    return documents.second > 0.95 * documents.last
