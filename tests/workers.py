"""`planner serve --workers 2`: processes of which a test may kill any."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from settings import ROOT, Settings
from tests.faults.servers import within

START_SECONDS = 60  # on a busy machine; at leisure, 2


class Workers:
    def __init__(self, settings: Settings, folder: Path, **environment: str) -> None:
        self.log = folder / f"workers-{os.urandom(4).hex()}.log"
        given = {"SECRET_KEY": settings.secret_key, "DATABASE_URL": settings.database_url, "PORT": "0", **environment}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "planner.py", "serve", "--workers", "2"],
                cwd=ROOT,
                env={**os.environ, "BCRYPT_COST": "10", **given},
                stdout=log,
                stderr=log,
            )

    async def url(self) -> str:
        """Once both serve."""
        await self.have_started(2)
        found = re.search(r"http://[\d.]+:\d+", self.log.read_text())
        assert found
        return found[0]

    async def have_started(self, number: int) -> None:
        """Since the beginning, with those that were started anew."""
        await within(START_SECONDS, lambda: self.have_said("] serves", number))

    async def have_said(self, words: str, times: int = 1) -> bool:
        return self.log.read_text().count(words) == times

    @property
    def pids(self) -> list[int]:
        """Of all that were ever started, the newest last."""
        return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", self.log.read_text())]

    def kill(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
