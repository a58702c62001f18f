"""What the figures are wanted to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.report import Section


@dataclass(frozen=True)
class Verdict:
    name: str
    value: float
    wanted: str
    is_met: bool

    @property
    def text(self) -> str:
        return f"{self.name:<52}{self.value:>8.2f}  {self.wanted:<28}{'met' if self.is_met else 'MISSED'}"


@dataclass(frozen=True)
class Target:
    name: str
    value: Callable[[Section], float | None]  # None where it was not measured
    least: float = 0.0
    aim: float | None = None
    most: float = float("inf")
    also_on_sqlite: bool = True

    def verdict(self, section: Section) -> Verdict | None:
        if section.database != "postgresql" and not self.also_on_sqlite:
            return None
        value = self.value(section)
        if value is None:
            return None
        wanted = f"at most {self.most:g}" if self.least == 0 else f"at least {self.least:g}"
        if self.aim is not None:
            wanted += f", aim {self.aim:g}"
        return Verdict(self.name, value, wanted, self.least <= value <= self.most)


def of_limit(work: str, least: float, aim: float | None = None) -> Target:
    # Promised on PostgreSQL alone: on SQLite the limit blocks its event loop, which no server can do.
    return Target(f"{work}, of the limit", lambda s: s.share(work), least, aim, also_on_sqlite=False)


def _ratio(section: Section, name: str, of: str) -> float | None:
    one, other = section.fact(name), section.fact(of)
    return one.median / other.median if one and other else None


TARGETS = (
    of_limit("list of 20", 0.6, 0.75),
    of_limit("one event", 0.62, 0.75),
    of_limit("createEvent", 0.5, 0.65),
    of_limit("typename", 0.5),
    Target("list of 20, times as many as plain", lambda s: s.share("list of 20", of="plain"), 10, also_on_sqlite=False),
    Target(
        "deep page, times the first page's time",
        lambda s: s.share("first page", of="ours", of_work="deep page"),
        most=1.2,
    ),
    Target("signin, of bcrypt's own rate", lambda s: s.share("signin"), 0.95),
    Target(
        "reads' p99 while many sign in, times idle",
        lambda s: _ratio(s, "reads' p99 while many sign in", "reads' p99, idle"),
        most=3,
    ),
)


def verdicts(section: Section) -> list[Verdict]:
    return [verdict for target in TARGETS if (verdict := target.verdict(section))]
