import re
import signal
import socket
import sqlite3
from collections.abc import Callable

import httpx
import pytest

from cli.client import Client, Fault
from tests.cli.conftest import Ran
from tests.conftest import Server
from tests.people import Person

Planner = Callable[..., Ran]
HELD = "3 confirmed, 9 in line, 0 faults"


def test_without_an_address_it_starts_a_server_and_ends_it(planner: Planner) -> None:
    ran = planner("stress", "--capacity", "3", "--clients", "12")

    assert (ran.returncode, HELD in ran.stdout) == (0, True), ran.stdout + ran.stderr
    assert ran.stdout.endswith("0 were put off.\n")
    assert "The seats held." in ran.stdout
    port = re.search(r"http://127\.0\.0\.1:(\d+)", ran.stdout)
    assert port
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", int(port[1]))) != 0


async def test_two_servers_of_one_database_share_the_crowd(
    planner: Planner, make_server: Callable[..., Server]
) -> None:
    servers = [make_server(), make_server()]
    for server in servers:
        await server.start()

    ran = planner("stress", "--capacity", "3", "--clients", "12", *(f"--url={server.url}" for server in servers))

    assert (ran.returncode, HELD in ran.stdout) == (0, True), ran.stdout + ran.stderr
    async with httpx.AsyncClient(base_url=servers[0].url) as http:
        assert (await Person(http).asks("{ events { totalCount } }")).data["events"]["totalCount"] == 0
    for server in servers:
        await server.stop(signal.SIGTERM)
        log = server.log.read_text()
        assert "Traceback" not in log


async def test_a_server_that_gives_too_many_seats_is_told_of(planner: Planner, live_server: Server) -> None:
    database = sqlite3.connect(live_server.settings.database_url.removeprefix("sqlite://"))
    with database:
        database.execute(
            "CREATE TRIGGER generous AFTER INSERT ON rsvps WHEN new.status = 'WAITLISTED'"
            " BEGIN UPDATE rsvps SET status = 'CONFIRMED' WHERE id = new.id; END"
        )
    database.close()

    ran = planner("stress", "--capacity", "3", "--clients", "12", f"--url={live_server.url}")

    assert ran.returncode == 1
    assert "The seats did NOT hold." in ran.stdout
    assert re.search(r"\n +[1-9]\d* overbooked", ran.stdout)
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://planner.example:8000", "--yes-i-own-it"),
        ("http://192.0.2.1", "--yes-i-own-it"),
        ("ftp://127.0.0.1", "is no address"),
        ("127.0.0.1:8000", "is no address"),
        ("http://127.0.0.1:port", "is no address"),
        ("http://", "is no address"),
    ],
)
def test_an_address_that_it_must_not_use_is_refused_in_a_line(planner: Planner, url: str, told: str) -> None:
    ran = planner("stress", f"--url={url}")

    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_where_nobody_answers_it_says_so_in_a_line(planner: Planner) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens not
        ran = planner("stress", f"--url=http://127.0.0.1:{taken.getsockname()[1]}", "--clients=2")

    assert ran.returncode == 1
    assert "The test cannot be made with http://127.0.0.1:" in ran.stderr
    assert "Traceback" not in ran.stderr


class Scripted(Client):
    """A client whose server says what the test says."""

    def __init__(self, *answers: dict[str, object]) -> None:
        self.slept: list[float] = []
        super().__init__("http://127.0.0.1", sleep=self.slept.append)
        self._answers = list(answers)

    def _post(self, request: dict[str, object]) -> dict[str, object]:
        return self._answers.pop(0)


def refused(code: str, **extensions: object) -> dict[str, object]:
    return {"data": None, "errors": [{"message": "No.", "extensions": {"code": code, **extensions}}]}


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RATE_LIMITED"])
def test_a_client_that_is_put_off_waits_as_long_as_it_is_told(code: str) -> None:
    client = Scripted(refused(code, retryAfter=3), refused(code, retryAfter=1), {"data": {"me": None}})

    assert client.ask("{ me { id } }").data == {"me": None}
    assert client.slept == [3, 1]
    assert (client.asked, client.put_off) == (3, 2)


def test_a_client_does_not_wait_for_ever() -> None:
    with pytest.raises(Fault, match="RATE_LIMITED"):
        Scripted(refused("RATE_LIMITED", retryAfter=3_600)).ask("{ me { id } }")


def test_any_other_refusal_is_a_fault() -> None:
    client = Scripted(refused("INTERNAL"))

    with pytest.raises(Fault, match=r"INTERNAL: No\."):
        client.ask("{ me { id } }")
    assert client.slept == []
