"""What was measured, in a table for people and in JSON for the next run to be held against."""

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

from settings import ROOT

FOLDER = ROOT / "var" / "bench"
_PACKAGES = "asyncpg fastapi graphql-core httptools orjson strawberry-graphql tortoise-orm uvicorn uvloop"
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
    load_cpu: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float | None:
        """What an answer costs the server. It holds also where PostgreSQL or the load kept the server waiting."""
        return None if self.server_cpu is None else self.server_cpu / self.rate * 1_000_000


@dataclass(frozen=True)
class Line:
    """A rival's rounds of one work, each figure the median of the rounds'."""

    work: str
    rival: str
    rate: float
    slowest: float
    fastest: float
    of_limit: float
    median_ms: float
    p99_ms: float
    cpu_us: float | None
    cpu_over_limit: float | None
    server_cpu: float | None
    load_cpu: float


class Report:
    def __init__(self, rounds: Sequence[Round], limit: str, conditions: dict[str, Any]) -> None:
        self.rounds, self.conditions = rounds, conditions
        self._limit = limit
        self.lines = [self._line(work, rival) for work, rival in dict.fromkeys((r.work, r.rival) for r in rounds)]

    def text(self) -> str:
        head = f"{'work':<14}{'server':<8}{'requests/s':>11}{'(from - to)':>17}{'of limit':>10}"
        head += f"{'median ms':>11}{'p99 ms':>9}{'CPU us each':>13}{'x limit':>9}{'its core':>10}{'load':>7}"
        conditions = "\n".join(f"{name}: {value}" for name, value in self.conditions.items())
        doubts = [doubt for line in self.lines if (doubt := _doubt(line))]
        return "\n".join([conditions, "", head, *map(_row, self.lines), *doubts, ""])

    def write(self, folder: Path = FOLDER) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        told = {
            "at": now,
            "conditions": self.conditions,
            "python": sys.version,
            "system": platform.platform(),
            "packages": {name: version(name) for name in _PACKAGES.split()},
            "lines": [asdict(line) for line in self.lines],
            "rounds": [{**asdict(one), "rate": one.rate, "cpu_us": one.cpu_us} for one in self.rounds],
        }
        file = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
        file.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))
        return file

    def _line(self, work: str, rival: str) -> Line:
        rounds = self._of(work, rival)
        rates = [one.rate for one in rounds]
        # Round by round, so that what slows the whole machine for a moment slows both sides of the ratio.
        shares = [one.rate / limit.rate for one, limit in zip(rounds, self._of(work, self._limit), strict=True)]
        cpu_us, limit_us = self._cpu_us(work, rival), self._cpu_us(work, self._limit)
        return Line(
            work,
            rival,
            rate=statistics.median(rates),
            slowest=min(rates),
            fastest=max(rates),
            of_limit=statistics.median(shares),
            median_ms=statistics.median(one.median_ms for one in rounds),
            p99_ms=statistics.median(one.p99_ms for one in rounds),
            cpu_us=cpu_us,
            cpu_over_limit=cpu_us / limit_us if cpu_us and limit_us else None,
            server_cpu=_median_known([one.server_cpu for one in rounds]),
            load_cpu=statistics.median(one.load_cpu for one in rounds),
        )

    def _cpu_us(self, work: str, rival: str) -> float | None:
        return _median_known([one.cpu_us for one in self._of(work, rival)])

    def _of(self, work: str, rival: str) -> list[Round]:
        return [one for one in self.rounds if (one.work, one.rival) == (work, rival)]


def _median_known(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return statistics.median(known) if known else None


def _row(line: Line) -> str:
    spread = f"({line.slowest:,.0f} - {line.fastest:,.0f})"
    over = "?" if line.cpu_over_limit is None else f"{line.cpu_over_limit:.1f}"
    each = "?" if line.cpu_us is None else f"{line.cpu_us:,.0f}"
    core = "?" if line.server_cpu is None else f"{line.server_cpu:.0%}"
    return (
        f"{line.work:<14}{line.rival:<8}{line.rate:>11,.0f}{spread:>17}{line.of_limit:>10.3f}"
        f"{line.median_ms:>11.2f}{line.p99_ms:>9.2f}{each:>13}{over:>9}{core:>10}{line.load_cpu:>7.0%}"
    )


def _doubt(line: Line) -> str:
    if line.server_cpu is None or line.server_cpu >= _BUSY:
        return ""
    return f"{line.rival} used {line.server_cpu:.0%} of its core: PostgreSQL or the load held it up. Go by its CPU."
