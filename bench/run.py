"""One database's run: it is filled, a server for each rival is started on it, and they are asked in turns."""

import os
import platform
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from auth import Accounts
from bench.cores import Cores
from bench.data import Data
from bench.databases import DATABASES, Database
from bench.http import Request, Response
from bench.load import Load, ask_once
from bench.report import Fact, Round, Section
from bench.rivals import OURS, PLAIN, POOL_SIZE, REST, Rival, settings_of, tables
from bench.server import Server
from bench.works import WORKS, Known, Work

_WARM_SECONDS = 1.0


@dataclass(frozen=True)
class Course:
    """How long, how hard, and which works: those whose names begin as one of `only` does, or all."""

    rounds: int
    seconds: float
    connections: int
    only: tuple[str, ...] = ()
    subscribers: int = 1_000

    def wants(self, name: str) -> bool:
        return not self.only or name.startswith(self.only)


class Run:
    def __init__(self, database: Database, data: Data, cores: Cores, course: Course) -> None:
        self.database, self.cores, self.course = database, cores, course
        self.servers: dict[Rival, Server] = {}
        self.data = data
        self.rounds: list[Round] = []
        self.facts: list[Fact] = []
        self.known: Known

    @classmethod
    @asynccontextmanager
    async def begin(cls, name: str, data: Data, cores: Cores, course: Course) -> AsyncIterator["Run"]:
        """Ready to measure, with a server for each rival that is needed."""
        needed = dict.fromkeys([OURS, *(rival for work in WORKS if course.wants(work.name) for rival in work.rivals)])
        async with DATABASES[name](data.rows) as database:
            if needed.keys() & {PLAIN, REST}:
                await tables.fill(database.url)
            run = cls(database, data, cores, course)
            with ExitStack() as running:
                for rival in needed:
                    run.servers[rival] = running.enter_context(Server(rival, database.url, cores))
                run.known = await run._find_out()
                yield run

    async def measure(self) -> None:
        wanted = [work for work in WORKS if self.course.wants(work.name)]
        for _, group in groupby(wanted, key=lambda work: work.beside or work.name):
            await self._measure(list(group))

    def section(self) -> Section:
        return Section(self.database.name, self.rounds, self.facts, self._conditions())

    async def settle(self) -> None:
        """The sessions are as they are in the midst of a visit: a first request after a minute also notes the time."""
        now = datetime.now(UTC).isoformat(" ")
        await self.database.execute(f"UPDATE sessions SET last_used_at = '{now}'")  # noqa: S608
        await self.database.settle()

    async def pin(self) -> None:
        """The processes of PostgreSQL that there are by now."""
        if self.database.is_postgresql:
            await self.cores.pin_postgresql(self.database.url)

    async def answers(self, work: Work) -> dict[Rival, Response]:
        """Each rival's answer to the same. Raises ValueError where they do not say the same."""
        given = {}
        for rival in work.rivals:
            given[rival] = await ask_once(self.servers[rival].port, next(work.requests(self.known, rival)))
        said = {rival: work.said(rival, response) for rival, response in given.items()}
        for rival, told in said.items():
            if told != said[work.rivals[0]]:
                other = work.rivals[0]
                raise ValueError(f"{work.name}: {rival.name} says {told}"[:500] + f"; {other.name} {said[other]}"[:500])
        return given

    async def _measure(self, works: Sequence[Work]) -> None:
        each = [
            (work, rival, response, work.octets(self.known, rival))
            for work in works
            for rival, response in (await self.answers(work)).items()
        ]
        await self.settle()
        for work, rival, response, requests in each:  # the pools grow, the caches fill
            load = Load(self.servers[rival].port, requests, work.is_right(response))
            await load.run(self.course.connections, min(_WARM_SECONDS, self.course.seconds))
        await self.pin()
        for _ in range(self.course.rounds):
            for work, rival, response, requests in each:
                load = Load(self.servers[rival].port, requests, work.is_right(response))
                await self.round(work.name, rival, load, self.course.connections, self.course.seconds)

    async def round(self, work: str, rival: Rival, load: Load, connections: int, seconds: float) -> None:
        """A round more of that work."""
        server = self.servers[rival]
        server_before, load_before = server.cpu_seconds(), time.process_time()
        took = await load.run(connections, seconds)
        load_used, server_after = time.process_time() - load_before, server.cpu_seconds()
        used = None if server_before is None or server_after is None else server_after - server_before
        self.rounds.append(
            Round(
                work=work,
                rival=rival.name,
                requests=len(load.seconds_each),
                seconds=took,
                median_ms=statistics.median(load.seconds_each) * 1_000,
                p99_ms=load.p99_ms,
                server_cpu=None if used is None else used / took,
                load_cpu=load_used / took,
            )
        )

    async def ask(self, document: str, **variables: Any) -> Any:
        """The planner's data. Raises KeyError where there is none."""
        body = orjson.dumps({"query": document, "variables": variables})
        response = await ask_once(self.servers[OURS].port, Request("POST", "/graphql", body))
        return orjson.loads(response.body)["data"]

    async def _find_out(self) -> Known:
        tokens = Accounts(settings_of(self.database.url)).sessions.access_tokens
        now = datetime.now(UTC)
        return Known(
            self.data,
            {
                account: tokens.issue(user_id=str(account.id), session_id=str(account.session_id), now=now)[0]
                for account in self.data.accounts
            },
            await self._half_way(),
        )

    async def _half_way(self) -> str:
        """The cursor of the event in the midst of the newest first, found page by page."""
        document = "query ($after: String) { events(first: 100, after: $after) { pageInfo { endCursor } } }"
        cursor = None
        for _ in range(max(1, self.data.events // 200)):
            cursor = (await self.ask(document, after=cursor))["events"]["pageInfo"]["endCursor"]
        assert cursor  # noqa: S101 - there are events
        return str(cursor)

    def _conditions(self) -> dict[str, str]:
        course = self.course
        on_pool = f", {POOL_SIZE} connections a server" if self.database.is_postgresql else ""
        return {
            "data": self.data.said,
            "database": f"{self.database.said}{on_pool}",
            "load": f"{course.connections} connections, {course.rounds} rounds of {course.seconds:g} s a server, in"
            " turns",
            "cores": self.cores.said(with_postgresql=self.database.is_postgresql),
            "machine": _machine(),
        }


def _machine() -> str:
    """Its processor, how many of them, and how busy they have been for a minute with this and whatever else runs."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    busy = f", load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} x {cpu}{busy}"


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
