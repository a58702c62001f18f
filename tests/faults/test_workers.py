"""Several workers, of which one is killed, or the process that watches over them."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

import models
from auth.keys import KeyFolder
from settings import Settings
from tests.conftest import settings_of
from tests.faults.postgresql import OwnPostgreSQL
from tests.faults.servers import within
from tests.people import Person
from tests.redis import RedisServer
from tests.sockets import until
from tests.workers import START_SECONDS, Workers

MakeWorkers = Callable[..., Workers]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[OwnPostgreSQL]:
    with OwnPostgreSQL() as server:
        asyncio.run(models.migrate(settings_of(server.url), lambda name: None))
        yield server


@pytest.fixture
async def make_workers(postgresql: OwnPostgreSQL, tmp_path: Path) -> AsyncIterator[MakeWorkers]:
    redis, made = RedisServer(tmp_path), list[Workers]()
    await redis.start()

    def make(**environment: str) -> Workers:
        made.append(Workers(settings_of(postgresql.url), tmp_path, REDIS_URL=redis.url, **environment))
        return made[-1]

    yield make
    for workers in made:
        workers.kill()
    redis.stop()


@pytest.fixture
def settings_with_keys(postgresql: OwnPostgreSQL, tmp_path: Path) -> Settings:
    settings = settings_of(postgresql.url, keys_folder=str(tmp_path / "keys"))
    KeyFolder(settings).publish("ES256", datetime.now(UTC))
    return settings


async def status(url: str) -> int:
    """Of whichever takes a new connection."""
    async with httpx.AsyncClient(base_url=url, timeout=10, verify=False) as http:  # noqa: S501 - it speaks no TLS
        return (await http.get("/health/ready")).status_code


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"  # nobody waits for it here


async def test_workers_killed_while_the_database_is_away_start_anew(
    make_workers: MakeWorkers, postgresql: OwnPostgreSQL
) -> None:
    workers = make_workers()
    url = await workers.url()
    postgresql.stop("fast")
    try:
        for pid in workers.pids:
            os.kill(pid, signal.SIGKILL)
        await workers.have_started(4)

        assert {await status(url) for _ in range(10)} == {503}
        assert "Traceback" not in workers.log.read_text().partition("[planner.health]")[0]
    finally:
        postgresql.start()

    async def is_ready() -> bool:
        return {await status(url) for _ in range(10)} == {200}

    await within(10, is_ready)
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await Person(http, "ana").signs_up()).code is None


async def test_a_worker_that_cannot_start_again_leaves_the_other_serving(
    make_workers: MakeWorkers, settings_with_keys: Settings
) -> None:
    workers = make_workers(KEYS_FOLDER=settings_with_keys.keys_folder)
    url = await workers.url()
    folder, mislaid = settings_with_keys.keys_folder, f"{settings_with_keys.keys_folder}-mislaid"
    os.rename(folder, mislaid)

    os.kill(workers.pids[0], signal.SIGKILL)
    await within(START_SECONDS, lambda: workers.have_said("failed to start; another try in 5 s"))
    assert await status(url) == 200
    os.rename(mislaid, folder)
    await workers.have_started(3)


async def test_where_a_first_start_fails_all_ends_with_a_failure(make_workers: MakeWorkers) -> None:
    workers = make_workers(METRICS_HOST="192.0.2.1", METRICS_PORT="9464")  # nobody's here

    assert await asyncio.to_thread(workers.process.wait, START_SECONDS) == 1
    assert "failed to start, stopping the parent" in workers.log.read_text()


async def test_workers_end_with_the_process_that_watches_over_them(make_workers: MakeWorkers) -> None:
    workers = make_workers()
    url = await workers.url()
    pids, port = workers.pids, str(httpx.URL(url).port)
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        ana = Person(http, "ben")
        await ana.signs_up()
        signing_in = asyncio.ensure_future(ana.signs_in())  # under way when it happens
        await asyncio.sleep(0.02)
        killed = time.perf_counter()
        workers.process.kill()

        assert (await signing_in).code is None
    await until(lambda: all(has_ended(pid) for pid in pids))  # and with them, who holds the port
    assert time.perf_counter() - killed < 8
    assert await make_workers(PORT=port).url() == url
