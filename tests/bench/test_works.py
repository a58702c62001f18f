"""Whoever does a work says the same: else there would be nothing to compare."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from graphql import build_schema, parse, validate

from bench import feed, signin, subscribers
from bench.cores import Cores
from bench.data import Data
from bench.load import ask_once
from bench.rivals import LIMIT, OURS
from bench.run import Course, Run
from bench.works import WORKS
from settings import ROOT

FEW = Data(events=300, users=20, hot=300, bcrypt_cost=10)
QUICK = Course(rounds=1, seconds=0.1, connections=2, subscribers=5)


@pytest.fixture(autouse=True)
def _on_the_server_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", os.environ["PLANNER_TEST_POSTGRESQL"])


@pytest.fixture(params=["sqlite", "postgresql"])
async def run(request: pytest.FixtureRequest) -> AsyncIterator[Run]:
    async with Run.begin(request.param, FEW, Cores(pin=False), QUICK) as begun:
        yield begun


async def test_the_rivals_say_the_same(run: Run) -> None:
    for work in WORKS:
        answers = await run.answers(work)  # raises where they do not
        assert set(answers) >= {LIMIT, OURS}


async def test_each_work_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signin, "SHORTEST_SECONDS", 0.2)
    await run.measure()
    for measure in (feed.measure, signin.measure, signin.measure_flood, subscribers.measure):
        await measure(run)

    section = run.section()
    measured = {(line.work, line.rival) for line in section.lines}
    assert measured >= {(work.name, rival.name) for work in WORKS for rival in work.rivals}
    assert measured >= {("feed of 30", "ours"), ("feed unchanged", "ours"), ("signin", "limit"), ("signin", "ours")}
    assert all(line.rate > 0 for line in section.lines)
    assert {"reads' p99, idle", "a mutation that 5 hear of: the last hears"} <= {fact.name for fact in section.facts}


async def test_places_are_taken_by_the_rule(run: Run) -> None:
    """There are seats for half of them, whoever gives them; and who asks again keeps what there is."""
    work = next(work for work in WORKS if work.name == "rsvp")
    for rival in work.rivals:
        port, statuses = run.servers[rival].port, []
        for request, _ in zip(work.requests(run.known, rival), range(FEW.users), strict=False):
            statuses.append(work.said(rival, await ask_once(port, request))["status"])
        again = await ask_once(port, next(work.requests(run.known, rival)))

        assert statuses == ["CONFIRMED"] * 10 + ["WAITLISTED"] * 10
        assert work.said(rival, again)["status"] == "CONFIRMED"


def test_the_documents_fit_the_published_schema() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text("utf-8"))
    for work in WORKS:
        assert validate(schema, parse(work.document)) == []


async def test_the_command_writes_a_report(tmp_path: Path) -> None:
    words = "--only typename --rounds 1 --seconds 0.2 --events 200 --users 5 --database sqlite --database postgresql"
    command = [sys.executable, "-m", "bench", *words.split(), "--into", str(tmp_path)]
    ran = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert "typename, of the limit" in ran.stdout
    told = orjson.loads((tmp_path / "bench.json").read_bytes())
    assert [section["database"] for section in told["databases"]] == ["sqlite", "postgresql"]
    for section in told["databases"]:
        assert {line["rival"] for line in section["lines"]} == {"limit", "ours", "plain"}
