import asyncio
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cli import commands
from settings import Settings
from tests.cli.conftest import Ran
from tests.conftest import Server

Planner = Callable[..., Ran]
on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


def test_each_command_tells_what_it_does() -> None:
    shown = CliRunner().invoke(commands, ["--help"]).output
    for command, does in (
        ("serve", "Serve the API"),
        ("migrate", "Bring the database"),
        ("schema", "Print the schema"),
        ("demo", "Serve a month of invented events"),
        ("stress", "Prove that seats hold"),
    ):
        told = CliRunner().invoke(commands, [command, "--help"])

        assert command in shown
        assert does in shown
        assert told.exit_code == 0
        assert does in told.output


def test_a_bad_setting_is_told_in_a_line(planner: Planner) -> None:
    ran = planner("serve", PORT="http")

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("PORT='http': ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "migrate"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:hush@127.0.0.1:1/planner",
        "postgresql://ana:hush@nowhere.invalid/planner",
        "postgresql://ana:hush/hush@127.0.0.1/planner",  # a password that is not percent-encoded
        "postgresql://ana:hush?hush@127.0.0.1/planner",
        "postgresql://ana:hush?hush=hush@127.0.0.1/planner",
        "postgresql://ana:hush@a..b/planner",
        "postgresql://ana:hush@127.0.0.1:5432000/planner",
        "sqlite://{folder}",
        "sqlite://tests",
        "sqlite://?hush",
        "sqlite://{folder}/new.sqlite3?hush=1",
        "sqlite://{folder}/no.database",
        "sqlite://{folder}/no.database/planner.sqlite3",
    ],
    ids=[
        *("refused", "unknown host", "slash", "question mark", "equals", "no host", "no port"),
        *("folder", "folder below", "only options", "options", "no database", "no folder"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_line(
    planner: Planner, tmp_path: Path, command: str, url: str
) -> None:
    (tmp_path / "no.database").write_text("a shopping list, of more than a hundred characters: " + "eggs, " * 100)

    ran = planner(command, DATABASE_URL=url.format(folder=tmp_path))

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "DATABASE_URL" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "hush" not in ran.stderr


async def test_a_database_without_tables_is_told_in_a_line(planner: Planner, empty_database: str) -> None:
    ran = planner("serve", DATABASE_URL=empty_database)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "run planner migrate" in ran.stderr
    assert ran.stderr.count("\n") == 1


@on_sqlite
def test_a_port_in_use_is_told_in_a_line(planner: Planner, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = planner("serve", DATABASE_URL=settings.database_url, PORT=str(port))

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (f"Cannot listen on 127.0.0.1:{port}: Address already in use. Set HOST or PORT to another.\n")


@on_sqlite
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM], ids=lambda asked: asked.name)
async def test_it_stops_when_it_is_asked_to(make_server: Callable[..., Server], asked: signal.Signals) -> None:
    server = make_server()
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:  # holds its connection open
        await http.get("/health/live")
        begun = time.perf_counter()

        assert await server.stop(asked) == 0

    assert time.perf_counter() - begun < 2
    assert "Traceback" not in server.log.read_text()


@on_sqlite
async def test_who_sends_half_a_request_does_not_hold_it_up(make_server: Callable[..., Server]) -> None:
    server = make_server()
    await server.start()
    port = httpx.URL(server.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: planner.test\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    await writer.drain()
    async with httpx.AsyncClient(base_url=server.url) as http:
        await http.get("/health/live")  # by now the half has been read
    begun = time.perf_counter()

    assert await server.stop(signal.SIGINT) == 0

    assert time.perf_counter() - begun < 10
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert "Traceback" not in server.log.read_text()
    writer.close()


@on_sqlite
@pytest.mark.parametrize("level", ["info", "debug"])
async def test_requests_are_logged_for_who_debugs(make_server: Callable[..., Server], level: str) -> None:
    server = make_server(LOG_LEVEL=level)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        await http.get("/health/live")
    await server.stop(signal.SIGTERM)

    assert ("GET /health/live" in server.log.read_text()) == (level == "debug")


@on_sqlite
async def test_a_fault_is_logged_with_its_trace_and_told_as_a_number(make_server: Callable[..., Server]) -> None:
    server = make_server()
    await server.start()
    file = server.settings.database_url.removeprefix("sqlite://")
    with sqlite3.connect(file) as connection:
        connection.execute("ALTER TABLE events RENAME TO mislaid")
    connection.close()
    async with httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.post("/graphql", json={"query": "{ events { nodes { id } } }"})
    await server.stop(signal.SIGTERM)

    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert "events" not in error["message"]
    log = server.log.read_text()
    assert f"[error    ] request {error['extensions']['requestId']} failed" in log
    assert "no such table: events" in log
    assert "no such table" not in answer.text
