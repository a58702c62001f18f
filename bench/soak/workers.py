"""`planner serve --workers`, and what its processes use of the machine."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from settings import ROOT

_START_SECONDS = 60


class Workers:
    """Of one server, with metrics at a port for each. `environment` is their settings."""

    def __init__(self, number: int, folder: Path, **environment: str) -> None:
        self.log = folder / "workers.log"
        self.number = number
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, ROOT / "planner.py", "serve", "--workers", str(number)],
                cwd=ROOT,
                env={**os.environ, "HOST": "127.0.0.1", "PORT": "0", "LOG_LEVEL": "info", **environment},
                stdout=log,
                stderr=log,
            )

    async def start(self) -> None:
        """Returns once all of them serve. Raises TimeoutError, with the log in a note, where they do not."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                while len(self._found("Application startup (complete)")) < self.number:  # noqa: ASYNC110 - it is a log
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            error.add_note(self.log.read_text())
            raise
        self.url = self._found(r"(http://[\d.]+:\d+)/graphql")[0]
        self.metrics = sorted(self._found(r"metrics at (http://\S+)"))
        self.processes = [Path("/proc", pid) for pid in self.started]

    @property
    def started(self) -> list[str]:
        """The ids of the processes so far, in order; more than there are workers where one ended and was replaced."""
        return sorted(self._found(r"Started server process \[(\d+)\]"), key=int)

    @property
    def tracebacks(self) -> int:
        return len(self._found("(Traceback)"))

    async def stop(self) -> int:
        """Its exit code. It has 30 seconds to drain."""
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, 30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _found(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())
