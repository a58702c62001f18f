"""The worked examples, run as a reader runs them."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from settings import ROOT
from tests.conftest import Server
from tests.node import NODE, with_packages

EXAMPLES = ROOT / "examples"

Walk = Callable[..., subprocess.CompletedProcess[str]]


def _curl(tmp_path: Path) -> list[str | Path]:
    assert shutil.which("curl"), "examples/curl.sh needs curl on the PATH."
    return ["sh", EXAMPLES / "curl.sh"]


def _python(tmp_path: Path) -> list[str | Path]:
    return [sys.executable, EXAMPLES / "python" / "walk.py"]


def _javascript(tmp_path: Path) -> list[str | Path]:
    return [NODE, with_packages(EXAMPLES / "javascript", tmp_path / "javascript") / "walk.js"]


@pytest.fixture(params=[_curl, _python, _javascript], ids=["curl", "python", "javascript"])
def walk(request: pytest.FixtureRequest, tmp_path: Path) -> Walk:
    """Runs one of the examples with these arguments."""
    command = request.param(tmp_path)

    def run(*arguments: str, planner_url: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PLANNER_URL": planner_url}
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, encoding="utf-8", timeout=30
        )

    return run


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, nor will: the port is held."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


class _Broken(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"Oops")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def broken_server() -> Iterator[str]:
    """A server that answers everything with 500 and no GraphQL."""
    with HTTPServer(("127.0.0.1", 0), _Broken) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_signs_up_signs_in_and_creates_an_event(walk: Walk, live_server: Server) -> None:
    walked = walk(live_server.url, "yuna@example.com")

    assert (walked.stderr, walked.returncode) == ("", 0)
    assert "Signed up: yuna@example.com\nSigned in until 2" in walked.stdout
    assert "Created: FastAPI 책 출간 행사\nNewest: " in walked.stdout
    newest = walked.stdout.partition("Newest: ")[2]
    assert "FastAPI 책 출간 행사" in newest
    assert "yuna" in newest


def test_it_shows_every_wrong_field_of_an_input(walk: Walk, live_server: Server) -> None:
    said = walk(live_server.url).stdout.replace('"', "")

    assert "Refused: VALIDATION: Some values are not acceptable: " in said
    fields = said.partition("Refused: VALIDATION: ")[2].partition("\n")[2].partition("Created: ")[0]
    assert "title:" in fields
    assert "endsAt:" in fields


def test_it_can_be_run_again_with_and_without_the_same_email(walk: Walk, live_server: Server) -> None:
    runs = [walk(live_server.url, "yuna@example.com"), walk(live_server.url, "yuna@example.com")]
    runs += [walk(planner_url=f"{live_server.url}/"), walk(planner_url=live_server.url)]

    assert [run.returncode for run in runs] == [0, 0, 0, 0]
    assert ["Refused: EMAIL_TAKEN: " in run.stdout for run in runs] == [False, True, False, False]
    assert ["Signed up: " in run.stdout for run in runs] == [True, False, True, True]


def test_a_refusal_that_ends_the_walk_shows_its_code(walk: Walk, live_server: Server) -> None:
    walked = walk(live_server.url, "no e-mail address")

    assert (walked.stdout, walked.returncode) == ("", 1)
    assert walked.stderr.startswith("Refused: VALIDATION: ")
    assert "email" in walked.stderr.partition("\n")[2]


def test_an_address_where_nobody_answers_is_said(walk: Walk, nobody: str) -> None:
    walked = walk(planner_url=nobody)

    assert (walked.stdout, walked.returncode) == ("", 1)
    assert f"No GraphQL answer from {nobody}." in walked.stderr
    assert "Traceback" not in walked.stderr


def test_a_server_that_is_broken_is_said(walk: Walk, broken_server: str) -> None:
    walked = walk(broken_server)

    assert (walked.stdout, walked.returncode) == ("", 1)
    assert f"No GraphQL answer from {broken_server}." in walked.stderr
    assert "500" in walked.stderr
    assert "Traceback" not in walked.stderr
