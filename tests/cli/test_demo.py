import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from settings import ROOT
from tests.cli.conftest import Ran
from tests.people import Person

PATIENCE_SECONDS = 60


class Demo:
    """`planner demo` in a process of its own. `said` is what it has written, once it serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "throwaway"
        self.folder.mkdir()
        self._written = folder / "demo.txt"
        with self._written.open("wb") as written:
            self._process = subprocess.Popen(
                [sys.executable, "planner.py", "demo"],
                cwd=ROOT,
                env={**os.environ, "PORT": "0", "TMPDIR": str(self.folder)},
                stdout=written,
                stderr=subprocess.STDOUT,
                # Whoever runs the tests in the background of a shell has it ignored, and so all that they begin.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def is_ready(self) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while "Ctrl-C" not in self.said:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < give_up, self.said
            time.sleep(0.05)

    @property
    def said(self) -> str:
        return self._written.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.said)
        assert found
        return found[0]

    @property
    def documents(self) -> list[str]:
        """The GraphQL that it has written: what is indented under a line that ends in a colon, or is numbered."""
        found = re.findall(r"^(?:\d\. .*|.*tab\":)\n((?:  .*\n)+)", self.said, flags=re.MULTILINE)
        return [re.sub(r"^  ", "", text, flags=re.MULTILINE) for text in found]

    def stop(self, asked: signal.Signals) -> int:
        self._process.send_signal(asked)
        return self._process.wait(20)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # so that its server ends with it
            self._process.wait(20)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    try:
        running.is_ready()
        yield running
    finally:
        running.kill()


async def test_all_that_it_tells_to_try_works(demo: Demo) -> None:
    signin, find, update, wait, give_up, look = demo.documents
    emails = re.findall(r"^  (\S+@demo\.test):", demo.said, flags=re.MULTILINE)
    assert len(emails) == 3
    async with httpx.AsyncClient(base_url=demo.url) as http:
        ana, ben, minji = [Person(http, email.partition("@")[0]) for email in emails]
        for person, email in zip((ana, ben, minji), emails, strict=True):
            answer = await person.asks(signin.replace(emails[0], email))
            person.token = answer.data["signin"]["accessToken"]

        found = (await ana.asks(find)).data["events"]
        titles = [node["title"] for node in found["nodes"]]
        assert titles
        assert set(titles) == {"파이썬 모임"}
        calendar = await http.get(found["icsUrl"])
        assert calendar.text.count("BEGIN:VEVENT") == len(titles)

        assert (await ana.asks(update)).data["updateEvent"]["version"] > 1
        assert (await ana.asks(update)).code == "CONFLICT"

        accept = {"accept": "text/event-stream", "authorization": f"Bearer {ben.token}"}
        async with http.stream("POST", "/graphql", json={"query": wait}, headers=accept) as stream:
            lines = stream.aiter_lines()
            await anext(lines)  # it listens
            assert (await minji.asks(give_up)).data["cancelRsvp"]["status"] == "CANCELLED"
            async with asyncio.timeout(10):
                told = await anext(line async for line in lines if line.startswith("data:"))
        assert '"status":"CONFIRMED"' in told

        attendees = (await ana.asks(look)).data["event"]["attendees"]["nodes"]
        assert "ben" in {one["user"]["username"] for one in attendees if one["status"] == "CONFIRMED"}
        assert "WAITLISTED" in {one["status"] for one in attendees}
        everything = (await ana.asks("{ events(first: 1) { totalCount } }")).data["events"]
        assert everything["totalCount"] == 60


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM], ids=lambda asked: asked.name)
def test_it_ends_when_it_is_asked_to_and_leaves_nothing(demo: Demo, asked: signal.Signals) -> None:
    assert list(demo.folder.iterdir())

    assert demo.stop(asked) == 0

    assert list(demo.folder.iterdir()) == []
    assert "Traceback" not in demo.said
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", int(demo.url.rpartition(":")[2]))) != 0


def test_a_port_in_use_is_told_in_a_line(planner: Callable[..., Ran]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ran = planner("demo", PORT=port)

    assert ran.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in ran.stderr
    assert "Traceback" not in ran.stderr
