import os
import stat
from pathlib import Path

import pytest

from cli.dotenv import write
from settings import ROOT, read_settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone, as far as this command looks at it."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    (tmp_path / ".env.example").write_bytes((ROOT / ".env.example").read_bytes())
    return tmp_path


def test_the_server_starts_with_what_it_writes(folder: Path) -> None:
    assert write(folder)

    assert len(read_settings(_env_file=folder / ".env").secret_key) == 64


def test_each_has_a_secret_of_its_own(folder: Path) -> None:
    write(folder)
    first = (folder / ".env").read_text()
    (folder / ".env").unlink()
    write(folder)

    assert (folder / ".env").read_text() != first


def test_the_secret_is_for_its_owner_alone(folder: Path) -> None:
    usual = os.umask(0)
    try:
        write(folder)
    finally:
        os.umask(usual)

    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600


def test_what_is_there_stays(folder: Path) -> None:
    (folder / ".env").write_text("PORT=1\n")

    assert not write(folder)
    assert (folder / ".env").read_text() == "PORT=1\n"


def test_a_link_is_not_written_through(folder: Path) -> None:
    (folder / ".env").symlink_to(folder / "elsewhere")

    assert not write(folder)
    assert not (folder / "elsewhere").exists()
