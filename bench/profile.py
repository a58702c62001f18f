"""The command `python -m bench.profile`: where the planner's server spends its time at a work, by py-spy."""

import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bench.cores import Cores
from bench.data import Data
from bench.load import Load, ask_once
from bench.rivals import OURS
from bench.run import Course, Run
from bench.works import WORKS

Name = Annotated[str, typer.Argument(help="The work, such as 'list of 20'.")]
On = Annotated[str, typer.Option(help="postgresql or sqlite.")]
Seconds = Annotated[float, typer.Option(min=1, max=60, help="How long.")]
Most = Annotated[int, typer.Option(min=5, max=200, help="How many functions are told.")]
_SAMPLES_A_SECOND = 500
_ALL = 0.99  # what calls as much as that is what started the server
_IDLE = "_worker (concurrent/futures/thread.py"


def profile(work: Name = "list of 20", database: On = "postgresql", seconds: Seconds = 8, most: Most = 25) -> None:
    """Ask the planner the same over and over, and tell where its time goes."""
    stacks = uvloop.run(_stacks(work, database, seconds))
    sys.stdout.write(f"{work} on {database}, {sum(stacks.values()):,} samples\n\n{told(stacks, most)}")


def told(stacks: Counter[tuple[str, ...]], most: int) -> str:
    """Tables of what ran by package, by function, and of functions with all that they called. A stack's functions
    stand as `name (file)`, the one that ran last."""
    everything = sum(stacks.values())
    packages, functions, calling = Counter[str](), Counter[str](), Counter[str]()
    for stack, count in stacks.items():
        packages[_package(stack[-1])] += count
        functions[stack[-1]] += count
        calling.update(dict.fromkeys(stack, count))
    for function in [function for function, count in calling.items() if count > _ALL * everything]:
        del calling[function]
    tables = (
        ("package, itself", packages, most),
        ("function, itself", functions, most),
        ("function, with what it calls", calling, most),
    )
    return "\n".join(
        f"{head}\n" + "".join(f"{count / everything:>7.1%}  {name}\n" for name, count in counts.most_common(number))
        for head, counts, number in tables
    )


def read(raw: str) -> Counter[tuple[str, ...]]:
    """What py-spy writes with --format raw: a stack a line, its functions between semicolons, and a count. Threads of a
    pool that wait for work, which it takes for busy, are left out."""
    stacks = Counter[tuple[str, ...]]()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        functions = tuple(stack.split(";"))
        if _IDLE not in functions[-1]:
            stacks[functions] += int(count)
    return stacks


async def _stacks(name: str, database: str, seconds: float) -> Counter[tuple[str, ...]]:
    work = next(work for work in WORKS if work.name == name)
    cores = Cores()
    cores.pin_load()
    async with Run.begin(database, Data(), cores, Course(1, seconds, 16)) as run:
        server, requests = run.servers[OURS], work.octets(run.known, OURS)
        right = work.is_right(await ask_once(server.port, next(work.requests(run.known, OURS))))
        await Load(server.port, requests, right).run(16, 1)
        await run.pin()
        load = asyncio.ensure_future(Load(server.port, requests, right).run(16, seconds + 1))
        stacks = await _record(server.pid, seconds)
        await load
        return stacks


async def _record(pid: int, seconds: float) -> Counter[tuple[str, ...]]:
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        sys.exit("py-spy is not installed: it comes with what `make test` installs.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stacks.txt"
        options = ["--format", "raw", "--function", "--rate", str(_SAMPLES_A_SECOND), "--duration", str(round(seconds))]
        process = await asyncio.create_subprocess_exec(
            *(program, "record", "--pid", str(pid), *options, "--output", str(file)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        if process.returncode or not file.exists():
            sys.exit(f"py-spy failed. It needs the right to look into another process.\n{said.decode()}")
        return read(await asyncio.to_thread(file.read_text))


def _package(function: str) -> str:
    """The first folder of its file, or the file where there is none."""
    return function.rpartition("(")[2].rstrip(")").partition("/")[0]


if __name__ == "__main__":
    typer.run(profile)
