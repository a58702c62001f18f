"""The command `python -m bench`: a database of its own, a server for each rival, then rounds in turns."""

import os
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
import typer
import uvloop

import models
from bench import data
from bench.cores import Cores
from bench.load import Load
from bench.report import Report, Round
from bench.rivals import EVERYBODY, LIMIT, POOL_SIZE
from bench.server import Server
from bench.works import WORKS, Work
from settings import Settings
from tests.postgresql import drop_database, find_server, new_database

Rounds = Annotated[int, typer.Option(min=1, max=50, help="Rounds for each server.")]
Seconds = Annotated[float, typer.Option(min=0.2, max=30, help="Length of a round.")]
Connections = Annotated[int, typer.Option(min=1, max=256, help="Connections that ask at the same time.")]


@dataclass(frozen=True)
class Course:
    """How long, and how hard."""

    rounds: int
    seconds: float
    connections: int


def bench(rounds: Rounds = 5, seconds: Seconds = 3, connections: Connections = 16) -> None:
    """Measure the planner against its limit and its rival, on PostgreSQL."""
    postgresql, where, stop = find_server()
    try:
        report = uvloop.run(_in_a_new_database(postgresql, where, Course(rounds, seconds, connections)))
    finally:
        stop()
    sys.stdout.write(report.text())
    sys.stdout.write(f"Written to {report.write()}\n")


async def _in_a_new_database(postgresql: str, where: str, course: Course) -> Report:
    name = f"planner_bench_{os.getpid()}"
    url = await new_database(postgresql, name)
    try:
        await models.migrate(Settings(_env_file=None, secret_key="-" * 32, database_url=url), lambda _: None)
        await data.fill(url)
        cores = Cores()
        cores.pin_load()
        measured = await _measure(url, cores, course)
        return Report(measured, LIMIT.name, await _conditions(url, where, cores, course))
    finally:
        await drop_database(postgresql, name)


async def _measure(url: str, cores: Cores, course: Course) -> list[Round]:
    measured = []
    with ExitStack() as running:
        servers = [running.enter_context(Server(rival, url, cores)) for rival in EVERYBODY]
        for work in WORKS:
            answers = await _equal_answers(work, servers)
            await data.settle(url)
            for server in servers:  # the pools grow, the caches fill
                await Load(server.port, work.body, answers[server.port]).run(course.connections, seconds=1)
            await cores.pin_postgresql(url)
            for _ in range(course.rounds):
                for server in servers:
                    measured.append(await _round(work, server, answers[server.port], course))
    return measured


async def _equal_answers(work: Work, servers: list[Server]) -> dict[int, bytes]:
    """Each server's answer, by its port. Raises ValueError where they do not say the same."""
    answers = {}
    for server in servers:
        first = Load(server.port, work.body)
        await first.run(connections=1, seconds=0)
        answers[server.port] = first.answer
    told = [work.answer(answer) for answer in answers.values()]
    for server, answer in zip(servers, told, strict=True):
        if answer != told[0]:
            raise ValueError(f"{work.name}: {server.rival.name} answers {answer}, {servers[0].rival.name} {told[0]}")
    return answers


async def _round(work: Work, server: Server, answer: bytes, course: Course) -> Round:
    load = Load(server.port, work.body, answer)
    server_before, load_before = server.cpu_seconds(), time.process_time()
    took = await load.run(course.connections, course.seconds)
    load_used, server_after = time.process_time() - load_before, server.cpu_seconds()
    times = sorted(load.seconds_each)
    return Round(
        work=work.name,
        rival=server.rival.name,
        requests=len(times),
        seconds=took,
        median_ms=statistics.median(times) * 1_000,
        p99_ms=times[int(len(times) * 0.99)] * 1_000,
        server_cpu=None if server_before is None or server_after is None else (server_after - server_before) / took,
        load_cpu=load_used / took,
    )


async def _conditions(url: str, where: str, cores: Cores, course: Course) -> dict[str, Any]:
    connection = await asyncpg.connect(url)
    version = await connection.fetchval("SHOW server_version")
    await connection.close()
    return {
        "data": f"{data.EVENTS:,} events of {data.USERS} users",
        "PostgreSQL": f"{version} ({where}), {POOL_SIZE} connections a server",
        "load": f"{course.connections} connections, {course.rounds} rounds of {course.seconds:g} s a server, in turns",
        "cores": cores.said,
    }


if __name__ == "__main__":
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    command.command()(bench)
    command()
