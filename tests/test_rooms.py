"""Our rooms have common names, and so have libraries: ours are imported, whatever else is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings import ROOT

ROOMS = sorted(
    [folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").is_file()]
    + [file.stem for file in ROOT.glob("*.py")]
)
NAMES_THEM_ALL = f"""
import importlib, pathlib, planner
for room in {ROOMS}:
    print(room, pathlib.Path(importlib.import_module(room).__file__).is_relative_to({str(ROOT)!r}))
"""


@pytest.fixture
def impostors(tmp_path: Path) -> dict[str, str]:
    """An environment in which each room's name is a library's too, which says so when it is imported."""
    for room in ROOMS:
        if room != "planner":  # the command itself is what `pip install -e` names
            (tmp_path / f"{room}.py").write_text(f"raise SystemExit('the library {room} was imported')\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path), "SECRET_KEY": "x" * 32}


def test_there_are_rooms() -> None:
    assert {"app", "auth", "cli", "errors", "models", "planner", "schema", "settings", "web"} <= {*ROOMS}


def test_none_has_the_name_of_a_standard_library() -> None:
    assert not {*ROOMS} & sys.stdlib_module_names


def test_each_is_imported_from_this_folder(impostors: dict[str, str], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", NAMES_THEM_ALL], env=impostors, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [f"{room} True" for room in ROOMS]


@pytest.mark.parametrize(
    "command",
    [[Path(sys.executable).with_name("planner")], [sys.executable, ROOT / "planner.py"]],
    ids=["planner", "planner.py"],
)
def test_the_command_finds_them_from_anywhere(impostors: dict[str, str], tmp_path: Path, command: list[Path]) -> None:
    ran = subprocess.run([*command, "schema"], env=impostors, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.stderr == ""
    assert ran.stdout == (ROOT / "schema.graphql").read_text("utf-8")


def test_in_the_tests_too() -> None:
    import auth
    import schema

    assert [Path(room.__file__ or "").parent.parent for room in (auth, schema)] == [ROOT, ROOT]
