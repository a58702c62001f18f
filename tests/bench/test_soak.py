"""A few seconds of what `make soak` does for an hour, and what it would say of a server that is not well."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from auth.tokens import AccessTokens
from bench.data import Data
from bench.rivals import settings_of
from bench.soak.growth import Figures, growths, is_warm
from bench.soak.load import Load, Pace, Unexpected, ask
from bench.soak.visits import LISTENING, VISITS
from settings import ROOT


async def test_every_kind_of_visit_is_paid_and_nothing_is_wrong() -> None:
    words = "--minutes 0.1 --rate 60 --every 0.4"
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "bench.soak", *words.split()],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": os.environ["PLANNER_TEST_POSTGRESQL"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Nothing grew, failed or was lost." in ran.stdout
    for visit in (*VISITS, *LISTENING):
        assert visit.__name__ in ran.stdout
    for figure in ("worker 2: memory, MiB", "worker 2: descriptors", "documents kept", "loop lag, mean ms"):
        assert figure in ran.stdout


def samples(*means: float) -> list[Figures]:
    """Of a run with these means, one for each quarter."""
    return [{"worker 1: memory, MiB": mean + odd, "PostgreSQL: MiB": mean} for mean in means for odd in (0, 1, 0, 1)]


def test_memory_that_is_larger_at_the_end_than_when_it_was_warm_grew() -> None:
    memory, database = growths(samples(50, 100, 105, 109))

    assert (memory.second, memory.last, memory.by, memory.peak) == (100.5, 109.5, 9, 110)
    assert memory.is_too_much
    assert memory.text.endswith("  GREW")
    assert not database.is_too_much  # people write into it


def test_warming_up_is_no_growth() -> None:
    memory, _ = growths(samples(50, 100, 103, 107))

    assert not memory.is_too_much
    assert "GREW" not in memory.text


def test_before_the_documents_are_all_kept_nothing_is_warm() -> None:
    assert is_warm(growths([{"documents kept": kept} for kept in (900, 2_000, 2_048, 2_048)]))
    assert not is_warm(growths([{"documents kept": kept} for kept in (400, 900, 1_500, 2_048)]))


async def test_a_pace_is_kept_by_all_together() -> None:
    pace, begun = Pace(200), time.monotonic()

    await asyncio.gather(*(pace.turn() for _ in range(21)))

    assert time.monotonic() - begun >= 0.1


@pytest.fixture
async def load() -> AsyncIterator[Load]:
    """On a server that answers everything by 500."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 500 Fault\r\ncontent-length: 31\r\n\r\n{"data":{"__typename":"Query"}}')
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        tokens = AccessTokens(settings_of("sqlite://unused"))
        yield Load(f"http://{host}:{port}", Data(users=30), tokens, Pace(1_000), random.Random(1))  # noqa: S311 - no secret


async def test_a_status_of_a_fault_is_told_once_for_all_of_its_kind(load: Load) -> None:
    async def asks(load: Load) -> None:
        async with load.stranger() as stranger:
            await ask(stranger, "{ __typename }")

    await load.run([asks], visitors=2, seconds=0.5)

    assert load.requests == load.visits["asks"] == load.faults["status 500 of /graphql"]
    assert set(load.faults) == {"status 500 of /graphql"}


async def test_a_visit_that_fails_is_a_fault_and_the_others_go_on(load: Load) -> None:
    async def fails(load: Load) -> None:
        raise Unexpected("no answer is right")

    async def goes_on(load: Load) -> None:
        await asyncio.sleep(0.1)

    await load.run([fails, goes_on], visitors=1, seconds=0.5)

    assert load.visits["goes_on"] > 0
    assert set(load.faults) == {"fails: Unexpected no answer is right"}
