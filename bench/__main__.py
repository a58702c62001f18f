"""The command `python -m bench`: a database of its own, a server for each rival, then rounds in turns."""

import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bench import feed, signin, subscribers
from bench.cores import Cores
from bench.data import Data
from bench.databases import DATABASES
from bench.report import Section, write
from bench.run import Course, Run

BESIDES = {
    "feed": feed.measure,
    "signin": signin.measure,
    "flood": signin.measure_flood,
    "subscribers": subscribers.measure,
}
Database = Annotated[list[str], typer.Option(help="postgresql, sqlite: on which; by default both.")]
Only = Annotated[list[str], typer.Option(help="A work, or more; by default all. A name's beginning will do.")]
Rounds = Annotated[int, typer.Option(min=1, max=50, help="Rounds for each server.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=30, help="Length of a round.")]
Connections = Annotated[int, typer.Option(min=1, max=256, help="Connections that ask at the same time.")]
Events = Annotated[int, typer.Option(min=200, max=5_000_000, help="How many events there are.")]
Users = Annotated[int, typer.Option(min=2, max=100_000, help="How many users there are.")]
Subscribers = Annotated[int, typer.Option(min=1, max=10_000, help="How many subscribe.")]
Into = Annotated[Path | None, typer.Option(help="The folder for the report; by default a new one in var/bench.")]


def bench(
    database: Database = [],  # noqa: B006 - typer wants a list
    only: Only = [],  # noqa: B006
    rounds: Rounds = 5,
    seconds: Seconds = 1.2,
    connections: Connections = 16,
    events: Events = Data.events,
    users: Users = Data.users,
    subscribers: Subscribers = Course.subscribers,
    into: Into = None,
) -> None:
    """Measure the planner against its limit and its rivals."""
    course, sections = Course(rounds, seconds, connections, tuple(only), subscribers), []
    cores = Cores()
    cores.pin_load()
    for name in database or DATABASES:
        section = uvloop.run(_measure(name, Data(events, users), cores, course))
        sections.append(section)
        sys.stdout.write(f"{section.text()}\n")
        sys.stdout.flush()
    sys.stdout.write(f"Written to {write(sections, into)}\n")


async def _measure(name: str, data: Data, cores: Cores, course: Course) -> Section:
    async with Run.begin(name, data, cores, course) as run:
        await run.measure()
        for beside, measure in BESIDES.items():
            if course.wants(beside):
                await measure(run)
        return run.section()


if __name__ == "__main__":
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    command.command()(bench)
    command()
