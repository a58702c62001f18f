"""A server that something happens to, and what its process uses of the machine meanwhile."""

import asyncio
import re
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import httpx

from settings import Settings
from tests.conftest import Server
from tests.prometheus import Told, free_port

NO_HEALTH = "no answer"


class Watched(Server):
    def __init__(self, settings: Settings, folder: Path, **environment: str) -> None:
        super().__init__(settings, folder, **{"METRICS_PORT": str(free_port()), **environment})

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def megabytes(self) -> float:
        """Resident, now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1_048_576

    @property
    def descriptors(self) -> int:
        return len([*Path(f"/proc/{self.pid}/fd").iterdir()])

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        assert url.port is not None
        return url.host, url.port

    def http(self, **options: float) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(base_url=self.url, limits=limits, timeout=options.get("timeout", 30))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        await self.start()
        yield self
        self.kill()

    async def is_ready(self) -> bool:
        async with self.http() as http:
            return (await http.get("/health/ready")).status_code == 200

    async def health(self) -> str:
        """What it says of itself: ok, degraded, unavailable; NO_HEALTH where nobody is there."""
        async with self.http() as http:
            try:
                return str((await http.get("/health/ready")).json()["status"])
            except httpx.TransportError:
                return NO_HEALTH

    async def becomes(self, health: str, seconds: float) -> None:
        """Returns once it says so. Raises TimeoutError."""

        async def says_so() -> bool:
            return await self.health() == health

        await within(seconds, says_so)

    async def metrics(self) -> Told:
        """Raises httpx.TransportError where nobody is there."""
        # Where another took the port in the meantime, it is the next one.
        port = re.findall(r"metrics at http://127\.0\.0\.1:(\d+)/metrics", self.log.read_text())[-1]
        return await Told.by(int(port))

    async def errors(self) -> Counter[str]:
        """By code, as its metrics count what it told."""
        metrics, name = await self.metrics(), "planner_errors_total"
        counted = Counter({code: int(metrics.value(name, code=code)) for code in metrics.labels(name, "code")})
        return +counted  # without those that are told as 0


async def within(seconds: float, holds: Callable[[], Awaitable[bool]]) -> float:
    """How long it took until it held, in seconds. Raises TimeoutError."""
    begun = time.perf_counter()
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - what is waited for does not know of tests
            await asyncio.sleep(0.02)
    return time.perf_counter() - begun


@asynccontextmanager
async def asked_all_the_while(server: Watched) -> AsyncIterator[list[float]]:
    """Others, who ask the server for its health again and again: the seconds that each answer took. One that is not
    good is a failure here."""
    took: list[float] = []

    async def ask() -> None:
        async with server.http() as http:
            while True:
                begun = time.perf_counter()
                assert (await http.get("/health/ready")).status_code == 200
                took.append(time.perf_counter() - begun)
                await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    try:
        yield took
        assert not asking.done(), asking.exception()
        assert took
    finally:
        asking.cancel()
        await asyncio.wait([asking])
