"""A Chromium for the tests, on any machine: the one at hand, else one that is installed now."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium calls home by itself otherwise, and would find other machines by name.
STAY_HERE = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
REMEDY = "Install Chromium, or set PLANNER_TEST_BROWSER to the path of one."


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A headless Chromium that finds no machine but this. The test fails where none is to be had."""
    arguments = [*STAY_HERE, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # as root it refuses to start with one
    async with async_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        await browser.close()


def find_browser(playwrights_own: str) -> str:
    """Its path. `playwrights_own` is where Playwright keeps the one it installs, whether or not it is there."""
    if named := os.environ.get("PLANNER_TEST_BROWSER"):
        return shutil.which(named) or pytest.fail(f"PLANNER_TEST_BROWSER is {named}, which is no program. {REMEDY}")
    with _one_at_a_time():  # else two of xdist's workers install at once, and both fail
        return (
            _at_hand(playwrights_own)
            or (_installed_as_root() and _at_hand(playwrights_own))
            or (_ran(sys.executable, "-m", "playwright", "install", "chromium") and _at_hand(playwrights_own))
            or pytest.fail(f"There is no Chromium here, and none could be installed. {REMEDY}")
        )


def _at_hand(playwrights_own: str) -> str | None:
    return next(filter(None, map(shutil.which, (*NAMES, playwrights_own))), None)


def _installed_as_root() -> bool:
    return (
        os.geteuid() == 0
        and shutil.which("apt-get") is not None
        and _ran("apt-get", "update")
        # The fonts show Korean in the screenshots.
        and _ran("apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-noto-cjk")
    )


def _ran(*command: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{' '.join(command)}: {done.stderr or done.stdout}\n")
    return done.returncode == 0


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (Path(tempfile.gettempdir()) / f"planner-browser-{os.geteuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed
        yield
