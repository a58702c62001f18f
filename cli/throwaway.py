"""A server that lasts as long as a command, with a database and a secret that nobody else has and that go with it."""

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO, Self

from settings import ROOT, read_settings


class ThrowawayServer:
    """`planner serve` in a process of its own. Its `settings` are the environment's but for what is thrown away."""

    def __init__(self, **changes: object) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="planner-")
        self.settings = read_settings(
            database_url=f"sqlite://{self._folder.name}/planner.sqlite3",
            secret_key=secrets.token_urlsafe(48),
            bcrypt_cost=10,  # the least: nobody's real password is kept here
            **changes,
        )
        self._changed = ("database_url", "secret_key", "bcrypt_cost", "host", "port", *changes)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Its address, once it listens. The database is migrated before. Where it cannot start, the command ends."""
        self._process = process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, ROOT / "planner.py", "serve"],
            cwd=ROOT,
            env={**os.environ, **self._environment},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is told to the command alone, which then ends the server
        )
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        said = []
        for line in process.stderr:
            if found := re.search(r"https?://\S+(?=/graphql)", line):
                threading.Thread(target=_relay, args=(process.stderr,), daemon=True).start()
                return found[0]
            said.append(line)
        sys.exit("".join(said).rstrip() or "The server did not start.")

    def wait(self) -> None:
        """Until it ends by itself."""
        if self._process is not None:
            self._process.wait()

    @property
    def _environment(self) -> dict[str, str]:
        # Its word of welcome is said by the command; what goes wrong is still told.
        return {name.upper(): str(getattr(self.settings, name)) for name in self._changed} | {"LOG_LEVEL": "warning"}

    def __enter__(self) -> Self:
        # However the command is asked to end, it does so as at Ctrl-C: nothing stays behind.
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.default_int_handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            _end(self._process)
        self._folder.cleanup()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _relay(log: IO[str]) -> None:
    for line in log:
        sys.stderr.write(line)
