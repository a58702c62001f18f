"""graphql-core's own tests: they are in its sdist alone, which pip fetches once, as requirements/dev.txt pins it."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from settings import ROOT

_KEPT = ROOT / "var" / "graphql-core"
_PINNED = re.compile(r"^graphql-core==.*\n(?: +--hash=.*\n)+", re.MULTILINE)


def unpacked() -> Path:
    """The folder of the tests, a package of another name than that of ours. Only the first call for a pin needs the
    network."""
    pinned = _PINNED.search((ROOT / "requirements" / "dev.txt").read_text())
    assert pinned, "requirements/dev.txt pins no graphql-core"
    folder = _KEPT / hashlib.sha256(pinned[0].encode()).hexdigest()[:16]
    _KEPT.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # the workers of one run want the same files at the same moment
        if not folder.exists():
            _unpack(pinned[0], folder)
    return folder / "graphql_core_tests"


def _unpack(pinned: str, folder: Path) -> None:
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    with tarfile.open(_download(pinned, unfinished)) as sdist:
        top = sdist.getnames()[0].partition("/")[0]
        tests = [one for one in sdist.getmembers() if one.name.startswith(f"{top}/tests/")]
        sdist.extractall(unfinished, tests, filter="data")
    (unfinished / top / "tests").rename(unfinished / "graphql_core_tests")
    unfinished.rename(folder)  # last: what has this name is whole


def _download(pinned: str, into: Path) -> Path:
    """The sdist; pip compares its hash with the pin."""
    (into / "requirements.txt").write_text(pinned)
    (into / "build").mkdir()
    _pose_as_backend(into / "build", pinned)
    pip = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"),
            *("--require-hashes", "--retries", "1", "--dest", into, "--requirement", into / "requirements.txt"),
        ],
        env={**os.environ, "PYTHONPATH": str(into / "build")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert pip.returncode == 0, (
        "The tests of graphql-core are in its sdist, which pip could not fetch. Run this test once where pip reaches"
        f" its index; what it fetches is kept in {_KEPT.relative_to(ROOT)}. pip said:\n{pip.stderr}"
    )
    return next(into.glob("graphql_core-*.tar.gz"))


def _pose_as_backend(folder: Path, pinned: str) -> None:
    """pip wants to know a sdist's metadata before it keeps the file, and for that would fetch and run its build
    backend. This one says what is known already."""
    version = pinned.partition("==")[2].split()[0]
    metadata = f"Metadata-Version: 2.1\nName: graphql-core\nVersion: {version}\n"
    (folder / "uv_build.py").write_text(
        "from pathlib import Path\n"
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        "    info = Path(folder) / 'graphql_core.dist-info'\n"
        "    info.mkdir()\n"
        f"    (info / 'METADATA').write_text({metadata!r})\n"
        "    return info.name\n"
    )
