"""What was measured, in tables for people and in JSON for the next run to be held against."""

import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from bench.picture import picture
from bench.targets import Verdict, verdicts
from settings import ROOT

FOLDER = ROOT / "var" / "bench"
LIMIT, OURS = "limit", "ours"
_PACKAGES = "asyncpg fastapi graphql-core httptools orjson strawberry-graphql tortoise-orm uvicorn uvloop"
_WAITED = "* used less than its core: the database or the load held it up. Go by what an answer costs its CPU."
_BUSY = 0.9  # a server that used less of its core was kept waiting by something else


@dataclass(frozen=True)
class Round:
    """One server under load for a while. CPU is a share of one core; None where the system does not tell."""

    work: str
    rival: str
    requests: int
    seconds: float
    median_ms: float
    p99_ms: float
    server_cpu: float | None
    load_cpu: float | None

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float | None:
        """What an answer costs the server. It holds also where the database or the load kept the server waiting."""
        return None if self.server_cpu is None else self.server_cpu / self.rate * 1_000_000


@dataclass(frozen=True)
class Line:
    """A rival's rounds of one work, each figure the median of the rounds'."""

    work: str
    rival: str
    rate: float
    slowest: float
    fastest: float
    of_limit: float | None
    median_ms: float
    p99_ms: float
    cpu_us: float | None
    cpu_over_limit: float | None
    server_cpu: float | None
    load_cpu: float | None


@dataclass(frozen=True)
class Fact:
    """What is no rate: a value for each round."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


class Section:
    """One database."""

    def __init__(
        self, database: str, rounds: Sequence[Round], facts: Sequence[Fact], conditions: dict[str, str]
    ) -> None:
        self.database, self.rounds, self.facts, self.conditions = database, rounds, facts, conditions
        self.lines = [self._line(work, rival) for work, rival in dict.fromkeys((r.work, r.rival) for r in rounds)]

    @property
    def verdicts(self) -> list[Verdict]:
        return verdicts(self)

    def share(self, work: str, rival: str = OURS, of: str = LIMIT, of_work: str | None = None) -> float | None:
        """How many times as many requests a second one is answered as the other, the median of the rounds; None where
        one of the two was not measured."""
        rounds, others = self._of(work, rival), self._of(of_work or work, of)
        # Round by round, so that what slows the whole machine for a moment slows both sides of the ratio.
        shares = [one.rate / other.rate for one, other in zip(rounds, others, strict=False)]
        return statistics.median(shares) if shares else None

    def fact(self, name: str) -> Fact | None:
        return next((fact for fact in self.facts if fact.name == name), None)

    def text(self) -> str:
        conditions = [f"{name}: {value}" for name, value in self.conditions.items()]
        head = f"{'work':<16}{'server':<8}{'requests/s':>11}{'(from - to)':>17}{'of limit':>10}"
        head += f"{'median ms':>11}{'p99 ms':>9}{'CPU us each':>13}{'x limit':>9}{'its core':>10}{'load':>8}"
        parts = [conditions, [head, *map(_row, self.lines)] if self.lines else [], list(map(_fact_row, self.facts))]
        parts += [[_WAITED] if any(map(_waited, self.lines)) else [], [one.text for one in self.verdicts]]
        # A blank at a line's end would be changed by whoever edits the document that it is put into.
        return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts if part) + "\n"

    @property
    def told(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "conditions": self.conditions,
            "lines": [asdict(line) for line in self.lines],
            "facts": [{**asdict(fact), "median": fact.median} for fact in self.facts],
            "targets": [asdict(one) for one in self.verdicts],
            "rounds": [{**asdict(one), "rate": one.rate, "cpu_us": one.cpu_us} for one in self.rounds],
        }

    def _line(self, work: str, rival: str) -> Line:
        rounds = self._of(work, rival)
        rates = [one.rate for one in rounds]
        cpu_us, limit_us = self._cpu_us(work, rival), self._cpu_us(work, LIMIT)
        return Line(
            work,
            rival,
            rate=statistics.median(rates),
            slowest=min(rates),
            fastest=max(rates),
            of_limit=self.share(work, rival),
            median_ms=statistics.median(one.median_ms for one in rounds),
            p99_ms=statistics.median(one.p99_ms for one in rounds),
            cpu_us=cpu_us,
            cpu_over_limit=cpu_us / limit_us if cpu_us and limit_us else None,
            server_cpu=_median_known([one.server_cpu for one in rounds]),
            load_cpu=_median_known([one.load_cpu for one in rounds]),
        )

    def _cpu_us(self, work: str, rival: str) -> float | None:
        return _median_known([one.cpu_us for one in self._of(work, rival)])

    def _of(self, work: str, rival: str) -> list[Round]:
        return [one for one in self.rounds if (one.work, one.rival) == (work, rival)]


def write(sections: Sequence[Section], folder: Path | None = None) -> Path:
    """The folder, by default one named by the time: bench.json, bench.txt, and a picture for each database."""
    now = datetime.now(UTC)
    told = {
        "at": now,
        "python": sys.version,
        "system": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES.split()},
        "databases": [section.told for section in sections],
    }
    folder = folder or FOLDER / f"{now:%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z) + b"\n")
    (folder / "bench.txt").write_text("\n".join(section.text() for section in sections), "utf-8")
    for section in sections:
        (folder / f"{section.database}.svg").write_text(picture(section), "utf-8")
    return folder


def _median_known(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if known else None


def _row(line: Line) -> str:
    core = _known(line.server_cpu, ".0%") + ("*" if _waited(line) else " ")
    spread = f"({line.slowest:,.0f} - {line.fastest:,.0f})"
    return (
        f"{line.work:<16}{line.rival:<8}{line.rate:>11,.0f}{spread:>17}{_known(line.of_limit, '.3f'):>10}"
        f"{line.median_ms:>11.2f}{line.p99_ms:>9.2f}{_known(line.cpu_us, ',.0f'):>13}"
        f"{_known(line.cpu_over_limit, '.1f'):>9}{core:>11}{_known(line.load_cpu, '.0%'):>7}"
    )


def _known(figure: float | None, form: str) -> str:
    return "" if figure is None else format(figure, form)


def _fact_row(fact: Fact) -> str:
    return f"{fact.name:<44}{fact.median:>10,.2f} {fact.unit} ({min(fact.values):,.2f} - {max(fact.values):,.2f})"


def _waited(line: Line) -> bool:
    return line.server_cpu is not None and line.server_cpu < _BUSY
