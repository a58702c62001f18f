"""The command `python -m bench.soak`: a database and a Redis of its own, two workers on them, a mixed load; then
whether anything grew, failed or was lost. Exit code 1 where it did."""

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import uvloop

import models
from auth.tokens import AccessTokens
from bench.data import Data
from bench.databases import DATABASES, Database
from bench.rivals import POOL_SIZE, SECRET, settings_of
from bench.soak.growth import HEAD, Figures, Growth, growths, is_warm
from bench.soak.load import Load, Pace
from bench.soak.visits import LISTENING, VISITS, seats_at_first
from bench.soak.watch import Watch
from bench.soak.workers import Workers
from tests.journeys.history import Snapshot, explained
from tests.redis import RedisServer

WORKERS, VISITORS, LISTENERS = 2, 12, 10
METRICS_PORT = 19_464  # each worker takes the next that is free

Minutes = Annotated[float, typer.Option(min=0.1, max=24 * 60, help="How long it is asked.")]
Rate = Annotated[float, typer.Option(min=1, max=1_000, help="Requests a second, at most.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=60, help="Between two looks at the figures.")]


@dataclass(frozen=True)
class Outcome:
    """`wrong` says what is, in words."""

    minutes: float
    growths: list[Growth]
    load: Load
    told: Counter[str]
    stalls: int
    wrong: list[str]

    @property
    def text(self) -> str:
        load = self.load
        visits = ", ".join(f"{number:,} {name}" for name, number in sorted(load.visits.items()))
        lines = [
            f"{load.requests:,} requests in {self.minutes:g} minutes, and {load.changes_heard:,} changes heard",
            f"visits: {visits}",
            f"codes: {', '.join(f'{number:,} {code}' for code, number in self.told.most_common())}",
            f"events whose seats were fought for: {len(load.histories):,}",
            f"subscribers who were told to subscribe again: {load.cut:,}",
            f"times that a worker's event loop stood still for over a second: {self.stalls:,}",
            "",
            HEAD,
            *(growth.text for growth in self.growths),
            *([] if is_warm(self.growths) else ["Not warm by the second quarter: growth is not judged."]),
            "",
            *(f"WRONG: {what}" for what in self.wrong),
        ]
        return "\n".join([*lines, "Something is WRONG." if self.wrong else "Nothing grew, failed or was lost."])


def soak(minutes: Minutes = 20, rate: Rate = 45, every: Seconds = 5) -> None:
    """Watch two workers under a mixed load. Exit code 1 where anything grew, failed or was lost."""
    with tempfile.TemporaryDirectory(prefix="planner-soak-") as folder:
        outcome = uvloop.run(_soak(Path(folder), minutes, rate, every))
    sys.stdout.write(f"{outcome.text}\n")
    if outcome.wrong:
        sys.exit(1)


async def _soak(folder: Path, minutes: float, rate: float, every: float) -> Outcome:
    data = Data(events=2_000, users=200, hot=0, bcrypt_cost=10)
    async with DATABASES["postgresql"](data.rows) as database, _serving(folder, database) as (workers, redis):
        tokens = AccessTokens(settings_of(database.url))
        load = Load(workers.url, data, tokens, Pace(rate), random.Random(1))  # noqa: S311 - no secret
        async with Watch.begin(workers, database.url, redis.url) as watch:
            samples = await _watched(load, watch, minutes * 60, every)
            grown = growths(samples)
            told, stalls, left = await watch.codes(), await watch.stalls(), await watch.left_open()
        wrong = [f"{number} times: {fault}" for fault, number in load.faults.most_common(20)]
        if told["INTERNAL"]:
            wrong.append(f"{told['INTERNAL']} answers are INTERNAL")
        if is_warm(grown):
            wrong += [f"{growth.name} grew by {growth.by:.1f}" for growth in grown if growth.is_too_much]
        if load.cut and not stalls:
            wrong.append(f"{load.cut} subscribers were told to subscribe again, though no worker stood still")
        wrong += [f"{number:g} {what} are left when all have gone" for what, number in left.items()]
        wrong += await _wrong_seats(load, database)
        if len(workers.started) > WORKERS:
            wrong.append(f"{len(workers.started) - WORKERS} workers died, and were replaced")
        if code := await workers.stop():
            wrong.append(f"the server ended with {code}")
        if workers.tracebacks:
            wrong.append(f"{workers.tracebacks} tracebacks are in the log: {workers.log.read_text()[-3_000:]}")
    return Outcome(minutes, grown, load, told, stalls, wrong)


@asynccontextmanager
async def _serving(folder: Path, database: Database) -> AsyncIterator[tuple[Workers, RedisServer]]:
    redis = RedisServer(folder)
    await redis.start()
    workers = Workers(
        WORKERS,
        folder,
        SECRET_KEY=SECRET,
        DATABASE_URL=database.url,
        DATABASE_POOL_SIZE=str(POOL_SIZE),
        REDIS_URL=redis.url,
        METRICS_PORT=str(METRICS_PORT),
        BCRYPT_COST="10",  # as the rows have it: signing in is not what is looked at here
        TRUSTED_PROXIES="127.0.0.1",  # the load says which address it comes from
    )
    try:
        await workers.start()
        yield workers, redis
    finally:
        await workers.stop()
        redis.stop()


async def _watched(load: Load, watch: Watch, seconds: float, every: float) -> list[Figures]:
    """The figures, looked at until all visits are over."""
    samples: list[Figures] = []
    begun = looked = said = time.monotonic()
    visitors = asyncio.ensure_future(
        asyncio.gather(load.run(VISITS, VISITORS, seconds), load.run(LISTENING, LISTENERS, seconds))
    )
    requests = 0
    while not (await asyncio.wait([visitors], timeout=every))[0]:
        now = time.monotonic()
        if now - begun > seconds:
            continue  # no new visits begin
        figures = await watch.look() | {"requests/s": (load.requests - requests) / (now - looked)}
        requests, looked = load.requests, now
        samples.append(figures)
        if now - said >= 60:
            said = now
            sys.stderr.write(f"{(now - begun) / 60:6.1f} min  {_line(figures)}  {load.faults.total()} faults\n")
            sys.stderr.flush()
    await visitors
    return samples


def _line(figures: Figures) -> str:
    return "  ".join(f"{name} {value:.1f}" for name, value in figures.items())


async def _wrong_seats(load: Load, database: Database) -> list[str]:
    """What the rows say otherwise than the rules, or than what people were told."""
    await models.open_database(settings_of(database.url))
    try:
        snapshot = await Snapshot.take_last()
    finally:
        await models.close_database()
    wrong = snapshot.faults()
    for event_id, history in load.histories.items():
        if not explained(seats_at_first(), history.operations, snapshot.seats(event_id)):
            wrong.append(f"The rules do not explain what was answered of {event_id}.")
    return wrong


if __name__ == "__main__":
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    command.command()(soak)
    command()
