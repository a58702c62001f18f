"""python -m web.graphiql.install: brings the explorer's files, where the right version is not here already.

A file reaches its place only when the whole package has the hash in package.py, and all files do at once.
"""

import gzip
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha512
from pathlib import Path

from web.graphiql.package import FOLDER, GRAPHIQL, Package

NODE = Path(__file__).resolve().parents[2] / "requirements" / "node.txt"
PATIENCE_SECONDS = 300


class NotInstalled(Exception):
    """Why the files are not here, in one line."""


def main() -> None:
    if GRAPHIQL.is_in(FOLDER):
        return
    sys.stderr.write("Fetching GraphiQL for the explorer ...\n")
    try:
        install(GRAPHIQL, FOLDER, npm_pack)
    except NotInstalled as reason:
        sys.stderr.write(f"No explorer yet: {reason} The API works without it; `make explorer` tries again.\n")
        sys.exit(1)


def install(package: Package, root: Path, fetch: Callable[[Package, Path], Path]) -> None:
    """Puts the package's files into `root`. `fetch` saves the package in the folder it is given, and says where."""
    root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".new-") as scratch:  # beside the place, so that it can be moved
        ready = Path(scratch) / package.version
        ready.mkdir()
        unpack(package, _verified(package, fetch(package, Path(scratch))), ready)
        place = package.folder(root)
        shutil.rmtree(place, ignore_errors=True)
        try:
            ready.rename(place)
        except OSError:
            if not package.is_in(root):  # else another process was quicker
                raise
    for other in root.iterdir():
        if other.is_dir() and not other.name.startswith(".") and other != place:
            shutil.rmtree(other, ignore_errors=True)


def _verified(package: Package, tarball: Path) -> bytes:
    content = tarball.read_bytes()
    found = "sha512-" + b64encode(sha512(content).digest()).decode()
    if found != package.integrity:
        raise NotInstalled(f"{package.name} {package.version} is not what it should be: its hash is {found}.")
    return content


def unpack(package: Package, tarball: bytes, folder: Path) -> None:
    """Writes the files that the page needs, each also compressed. No name in the archive decides where one goes."""
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        for path, name in package.files.items():
            try:
                member = archive.extractfile(f"package/{path}")
            except KeyError:
                member = None
            if member is None:
                raise NotInstalled(f"{package.name} {package.version} has no file {path}.")
            content = member.read()
            (folder / name).write_bytes(content)
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))


def npm_pack(package: Package, folder: Path) -> Path:
    # Without a network, npm would try for more than a minute, at each start of a server that has no explorer yet.
    quick = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--no-update-notifier")
    # In the folder itself, so that no .npmrc or package.json of another project has a say.
    _run(folder, _npm(), "pack", "--ignore-scripts", *quick, f"{package.name}@{package.version}")
    return next(folder.glob("*.tgz"))


def _npm() -> str:
    beside = Path(sys.executable).with_name("npm")
    if not (found := shutil.which("npm") or shutil.which(beside)):
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries=1")
        _run(NODE.parent, *pip, "install", "--require-hashes", "-r", str(NODE))
        found = str(beside)
    return found


def _run(folder: Path, *command: str) -> None:
    what = f"`{Path(command[0]).name} {command[1]}`"
    try:
        done = subprocess.run(  # noqa: S603 - every word is ours
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{what} did not end well: {error}.") from None
    if done.returncode:
        said = next(filter(None, map(str.strip, done.stderr.splitlines())), f"exit code {done.returncode}")
        raise NotInstalled(f"{what} failed: {said.rstrip('.')}.")


if __name__ == "__main__":
    main()
