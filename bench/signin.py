"""Sign-ins against bcrypt's own rate, and what they do to those who read meanwhile."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle

import orjson
from passlib.hash import bcrypt_sha256

from bench.data import PASSWORD
from bench.http import Request, Response
from bench.load import Load, ask_once
from bench.report import Fact, Round
from bench.rivals import LIMIT, OURS
from bench.run import Run
from bench.works import WORKS
from settings import ROOT

DOCUMENT = "mutation ($input: SigninInput!) { signin(input: $input) { accessToken refreshToken account { id } } }"
PEOPLE = 32  # as many accounts, each from an address of its own
AT_ONCE = 8
SHORTEST_SECONDS = 3  # a hash takes a fifth of a second
IDLE, FLOODED = "reads' p99, idle", "reads' p99 while many sign in"


async def measure(run: Run) -> None:
    """On the same core, in turns: hashes alone, and whole sign-ins."""
    seconds = max(run.course.seconds, SHORTEST_SECONDS)
    hashed = bcrypt_sha256.using(rounds=run.data.bcrypt_cost).hash(PASSWORD)
    requests = _sign_ins(run)
    await Load(run.servers[OURS].port, requests, _signed_in).run(AT_ONCE, 0)
    await run.settle()
    await run.pin()
    for _ in range(run.course.rounds):
        run.rounds.append(await _hashes(run, hashed, seconds))
        await run.round("signin", OURS, Load(run.servers[OURS].port, requests, _signed_in), AT_ONCE, seconds)


async def measure_flood(run: Run) -> None:
    """One reader, one read after another: alone, and while people sign in as fast as they are let in."""
    work = next(work for work in WORKS if work.name == "list of 20")
    port, sign_ins = run.servers[OURS].port, _sign_ins(run)
    right = work.is_right(await ask_once(port, next(work.requests(run.known, OURS))))
    seconds = max(run.course.seconds, SHORTEST_SECONDS)
    times: dict[str, list[float]] = {IDLE: [], FLOODED: []}
    await run.settle()
    await run.pin()
    for _ in range(run.course.rounds):
        for name, taken in times.items():
            reads = Load(port, work.octets(run.known, OURS), right)
            flood = Load(port, sign_ins, _signed_in)
            others = asyncio.ensure_future(flood.run(AT_ONCE, seconds + 1)) if name is FLOODED else None
            if others:
                await asyncio.sleep(0.5)  # until all are in line
            await reads.run(connections=1, seconds=seconds)
            if others:
                await others
            taken.append(reads.p99_ms)
    run.facts += [Fact(name, "ms", tuple(taken)) for name, taken in times.items()]


async def _hashes(run: Run, hashed: str, seconds: float) -> Round:
    command = [sys.executable, "-m", "bench.hashing", hashed, str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    with suppress(ProcessLookupError):
        run.cores.pin_server(process.pid)
    said, _ = await process.communicate()
    done, took = said.split()
    each_ms = float(took) / int(done) * 1_000
    return Round("signin", LIMIT.name, int(done), float(took), each_ms, each_ms, server_cpu=None, load_cpu=None)


def _sign_ins(run: Run) -> Iterator[bytes]:
    """For ever, each by the next of the accounts."""
    octets = []
    for number, account in enumerate(run.data.accounts[:PEOPLE]):
        said = {"input": {"email": account.email, "password": PASSWORD}}
        body = orjson.dumps({"query": DOCUMENT, "variables": said})
        octets.append(Request("POST", "/graphql", body, {"x-forwarded-for": f"192.0.2.{number + 1}"}).octets)
    return cycle(octets)


def _signed_in(response: Response) -> bool:
    return response.status == 200 and b'"accessToken":"' in response.body
