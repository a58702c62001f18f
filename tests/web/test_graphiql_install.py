"""Bringing the explorer's files: all of them as they were published, or none."""

import io
import os
import subprocess
import sys
import tarfile
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha512
from pathlib import Path

import pytest

from settings import ROOT
from web.graphiql.install import NotInstalled, install, npm_pack
from web.graphiql.package import GRAPHIQL, Package

FILES = {"LICENSE": "LICENSE.txt", "dist/app.js": "app.js"}
GOOD = {"package/LICENSE": b"MIT", "package/dist/app.js": b"run()", "package/dist/unneeded.js": b""}


def tarball(content: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return packed.getvalue()


def published(content: bytes, version: str = "1.0.0") -> Package:
    return Package("@planner/app", version, "sha512-" + b64encode(sha512(content).digest()).decode(), FILES)


def delivers(content: bytes) -> Callable[[Package, Path], Path]:
    def fetch(_: Package, folder: Path) -> Path:
        (folder / "app.tgz").write_bytes(content)
        return folder / "app.tgz"

    return fetch


def files_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_it_brings_what_the_page_needs_and_removes_the_version_before(tmp_path: Path) -> None:
    old, new = tarball(GOOD), tarball({**GOOD, "package/dist/app.js": b"run(2)"})
    install(published(old), tmp_path, delivers(old))
    install(published(new, "2.0.0"), tmp_path, delivers(new))

    assert published(new, "2.0.0").is_in(tmp_path)
    assert files_in(tmp_path) == [f"2.0.0/{name}" for name in ("LICENSE.txt", "LICENSE.txt.gz", "app.js", "app.js.gz")]
    assert (tmp_path / "2.0.0" / "app.js").read_bytes() == b"run(2)"


def test_it_mends_what_was_half_removed(tmp_path: Path) -> None:
    good = tarball(GOOD)
    install(published(good), tmp_path, delivers(good))
    (tmp_path / "1.0.0" / "app.js").unlink()
    assert not published(good).is_in(tmp_path)

    install(published(good), tmp_path, delivers(good))

    assert published(good).is_in(tmp_path)


def test_a_package_that_was_tampered_with_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    tampered = tarball({**GOOD, "package/dist/app.js": b"steal()"})

    with pytest.raises(NotInstalled, match=r"@planner/app 1\.0\.0 is not what it should be"):
        install(published(tarball(GOOD)), tmp_path, delivers(tampered))
    assert list(tmp_path.iterdir()) == []


def test_no_name_in_the_archive_leads_out_of_the_folder(tmp_path: Path) -> None:
    hostile = tarball({**GOOD, "package/../../../evil": b"", "/evil": b""})
    install(published(hostile), tmp_path / "files", delivers(hostile))
    linked = tarball({"package/LICENSE": b"MIT"}, {"package/dist/app.js": str(ROOT / "settings.py")})

    with pytest.raises(NotInstalled, match=r"has no file dist/app\.js"):
        install(published(linked, "2.0.0"), tmp_path / "files", delivers(linked))
    assert files_in(tmp_path) == [
        f"files/1.0.0/{name}" for name in ("LICENSE.txt", "LICENSE.txt.gz", "app.js", "app.js.gz")
    ]


def test_npm_that_fails_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho 'npm error more' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    with pytest.raises(NotInstalled) as refused:
        npm_pack(GRAPHIQL, tmp_path)
    assert str(refused.value) == "`npm pack` failed: npm error code ENOTFOUND."


def test_with_the_files_here_it_asks_nobody() -> None:
    command = [sys.executable, "-m", "web.graphiql.install"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=True)

    assert done.stdout + done.stderr == ""
