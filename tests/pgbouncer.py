"""A PgBouncer for the tests: the one at hand, else Debian's, unpacked below var and never installed.

Its settings are those of docs/operations.md, read from there, with this test's addresses.
"""

import asyncio
import fcntl
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from settings import ROOT

_UNPACKED = ROOT / "var" / "pgbouncer"
_PACKAGES = ("pgbouncer", "libc-ares2")
REMEDY = "Install PgBouncer, or run the tests where apt-get has Debian's."


@asynccontextmanager
async def pgbouncer(server: str, folder: Path, without: str = "nothing") -> AsyncIterator[str]:
    """The address of the same database by way of a PgBouncer in transaction mode, with two connections to it.

    `without` is one of the settings of its database that is left out.
    """
    port = _free_port()
    log = folder / "pgbouncer.log"
    (folder / "pgbouncer.ini").write_text(re.sub(rf" {without}='[^']*'", "", _settings(server, port)))
    command, environment = await asyncio.to_thread(_find)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [command, folder / "pgbouncer.ini"], stdout=output, stderr=output, env=environment
        )
    try:
        address = urlsplit(server)._replace(netloc=f"postgres@127.0.0.1:{port}").geturl()
        await _answers(address, process, log)
        yield address
    finally:
        process.kill()
        process.wait()


def _settings(server: str, port: int) -> str:
    parts = urlsplit(server)
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    [shown] = re.findall(r"```ini\n(\[databases\].*?)```", page, re.DOTALL)
    place = f"host={parts.hostname} port={parts.port or 5432} user={parts.username or 'postgres'}"
    if parts.password:
        place += f" password={parts.password}"
    settings = re.sub(r"host=\S+ port=\S+", place, shown).replace("planner =", f"{parts.path[1:]} =")
    settings = re.sub(r"auth_type = .*\nauth_file = .*\n", "auth_type = any\n", settings)
    settings = re.sub(r"listen_port = .*", f"listen_port = {port}", settings)
    settings = re.sub(r"default_pool_size = .*", "default_pool_size = 2", settings)
    if os.geteuid() == 0:  # as root it refuses to run
        settings += "user = nobody\n"
    return settings + "unix_socket_dir =\n"


def _find() -> tuple[str, dict[str, str]]:
    """The program, and the environment that it needs."""
    if at_hand := shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer"):
        return at_hand, {**os.environ}
    _UNPACKED.parent.mkdir(exist_ok=True)
    with _UNPACKED.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # the workers of one run want it at the same moment
        if not _UNPACKED.exists():
            _unpack()
    libraries = ":".join(str(folder) for folder in (_UNPACKED / "usr" / "lib").glob("*-linux-gnu*"))
    return str(_UNPACKED / "usr" / "sbin" / "pgbouncer"), {**os.environ, "LD_LIBRARY_PATH": libraries}


def _unpack() -> None:
    unfinished = _UNPACKED.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    download = ("apt-get", "download", *_PACKAGES)
    if not shutil.which("apt-get") or _ran(*download, folder=unfinished):
        # No package of Python's brings it. The one thing of which a machine without it tells, rather than fails.
        pytest.skip(f"There is no PgBouncer here. {REMEDY}")
    for package in unfinished.glob("*.deb"):
        assert not _ran("dpkg", "-x", package.name, ".", folder=unfinished)
    unfinished.rename(_UNPACKED)  # last: what has this name is whole


def _ran(*command: str, folder: Path) -> str:
    """What went wrong, if anything."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr or f"exit code {done.returncode}" if done.returncode else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(10):
        while True:
            assert process.poll() is None, await asyncio.to_thread(log.read_text)
            with suppress(OSError, asyncpg.PostgresError):
                await (await asyncpg.connect(address, statement_cache_size=0)).close()
                return
            await asyncio.sleep(0.05)
