"""What is looked at every few seconds: each worker's process, what the workers tell of themselves, PostgreSQL and
Redis."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Told
from redis.asyncio import Redis

from bench.soak.workers import Workers

# Of these nothing may be left once everybody has gone.
OPEN = {
    "planner_websockets": "WebSockets",
    "planner_streams": "streams",
    "planner_subscriptions": "subscriptions",
    "planner_database_waiting": "waiting for a connection",
    "planner_hashes_pending": "passwords to hash",
}
_GAUGES = OPEN | {
    "planner_documents_kept": "documents kept",
    "planner_database_connections": "connections in the pools",
}
_REST_SECONDS = 20
_POSTGRESQL = """SELECT pg_database_size(current_database()) AS size, (
  SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
) AS connections"""


class Watch:
    def __init__(self, workers: Workers, postgresql: Any, redis: Redis, http: httpx.AsyncClient) -> None:
        self._workers, self._postgresql, self._redis, self._http = workers, postgresql, redis, http
        self._before: Counter[str] = Counter()
        self._looked = time.monotonic()

    @classmethod
    @asynccontextmanager
    async def begin(cls, workers: Workers, database_url: str, redis_url: str) -> AsyncIterator[Self]:
        postgresql, redis = await asyncpg.connect(database_url), Redis.from_url(redis_url)
        try:
            async with httpx.AsyncClient(timeout=30) as http:
                watch = cls(workers, postgresql, redis, http)
                await watch.look()  # so that the first time that is told of has a beginning
                yield watch
        finally:
            await redis.aclose()
            await postgresql.close()

    async def look(self) -> dict[str, float]:
        """The figures now. Rates, shares and means are of the time since the last look."""
        found: dict[str, float] = {}
        for number, process in enumerate(self._workers.processes, 1):
            found |= {f"worker {number}: {name}": value for name, value in _used(process).items()}
        told = await self._sums()
        row, redis = await self._postgresql.fetchrow(_POSTGRESQL), await self._redis.info()
        now = time.monotonic()
        seconds, self._looked = now - self._looked, now
        since, self._before = {name: value - self._before[name] for name, value in told.items()}, told
        lag, looks = since["planner_loop_lag_seconds_sum"], since["planner_loop_lag_seconds_count"]
        return {
            **found,
            **{said: told[name] for name, said in _GAUGES.items()},
            "documents parsed/s": since["planner_documents_not_found_total"] / seconds,
            "loop lag, mean ms": lag / max(1, looks) * 1_000,
            "CPU of the workers, % of a core": since["process_cpu_seconds_total"] / seconds * 100,
            "PostgreSQL: connections": row["connections"],
            "PostgreSQL: MiB": row["size"] / 2**20,
            "Redis: keys": await self._redis.dbsize(),
            "Redis: MiB": redis["used_memory"] / 2**20,
            "Redis: clients": redis["connected_clients"],
        }

    async def codes(self) -> Counter[str]:
        """The errors that the workers say they told, by code."""
        said: Counter[str] = Counter()
        async for one in self._told():
            if one.name == "planner_errors_total":
                said[one.labels["code"]] += int(one.value)
        return said

    async def stalls(self) -> int:
        """How often a worker's event loop stood still for more than a second, as on a machine with too much to do."""
        lags = [one async for one in self._told() if one.name == "planner_loop_lag_seconds_bucket"]
        return int(sum({"+Inf": one.value, "1.0": -one.value}.get(one.labels["le"], 0.0) for one in lags))

    async def left_open(self) -> dict[str, float]:
        """What is still open when all have gone, and had time to be seen to have gone."""
        left: dict[str, float] = {}
        for _ in range(_REST_SECONDS * 10):
            told = await self._sums()
            left = {said: told[name] for name, said in OPEN.items() if told[name]}
            if not left:
                break
            await asyncio.sleep(0.1)
        return left

    async def _sums(self) -> Counter[str]:
        """Of what all workers tell by a name, whatever the labels."""
        sums: Counter[str] = Counter()
        async for one in self._told():
            sums[one.name] += one.value  # type: ignore[assignment]  # these are floats
        return sums

    async def _told(self) -> AsyncIterator[Told]:
        for address in self._workers.metrics:
            for family in text_string_to_metric_families((await self._http.get(address)).text):
                for one in family.samples:
                    yield one


def _used(process: Path) -> dict[str, float]:
    """See proc(5)."""
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {
        "memory, MiB": int(status["VmRSS"].split()[0]) / 1_024,
        "descriptors": len(os.listdir(process / "fd")),
        "threads": int(status["Threads"]),
    }
