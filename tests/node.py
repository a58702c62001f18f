"""Node for tests: the one beside this Python, so that a machine without Node runs them too."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from settings import ROOT

NODE = Path(sys.executable).with_name("node")
_NPM = Path(sys.executable).with_name("npm")
_INSTALLED = ROOT / "var" / "node"


def with_packages(folder: Path, copy: Path) -> Path:
    """`copy`, made a copy of `folder` as it is after `npm ci`. Only the first call for a lock needs the network."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(_packages(folder))
    return copy


def _packages(folder: Path) -> Path:
    lock = (folder / "package-lock.json").read_bytes()
    installed = _INSTALLED / hashlib.sha256(lock).hexdigest()[:16]
    _INSTALLED.mkdir(parents=True, exist_ok=True)
    with installed.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # the workers of one run want the same packages at the same moment
        if not installed.exists():
            _install(folder, installed)
    return installed / "node_modules"


def _install(folder: Path, installed: Path) -> None:
    unfinished = installed.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(folder / name, unfinished)
    npm = subprocess.run(
        [_NPM, "ci", "--prefer-offline", "--fetch-retries=1"],
        cwd=unfinished,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert npm.returncode == 0, f"npm ci failed in {folder.relative_to(ROOT)}:\n{npm.stderr}"
    unfinished.rename(installed)  # last: what has this name is whole
