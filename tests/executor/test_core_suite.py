"""graphql-core's own tests, run against our executor in a process of their own (core_suite.py)."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from settings import ROOT
from tests.executor.core_source import unpacked

SUITE = (
    "execution",
    "type/test_introspection.py",
    "type/test_enum.py",
    "type/test_custom_scalars.py",
    "test_star_wars_query.py",
    "test_star_wars_introspection.py",
)
BY_CORE = {
    "fragments with variables": 22,
    "selections nested too deeply": 4,
    "no propagation of errors": 1,
    "the schema has no such root": 1,
}


def test_graphql_cores_own_tests(tmp_path: Path) -> None:
    """One test, since it would cost each worker of xdist as much again."""
    report, said = _run(unpacked(), tmp_path / "report.json")

    assert [test for test, outcome in report["outcomes"].items() if outcome != "passed"] == [], said
    # The others end before anything runs, at a variable's value for example.
    assert len(report["plans"]) >= 300
    assert Counter(report["by graphql-core"].values()) == BY_CORE
    assert [entry for entry, tests in report["tests by entry"].items() if not tests] == [], "no test has this id"


def _run(tests: Path, file: Path) -> tuple[dict[str, Any], str]:
    options: list[str | Path] = ["-q", "-c", os.devnull, "-p", "no:cacheprovider", "-p", "no:asyncio"]
    options += ["--rootdir", tests, "-p", "tests.executor.core_suite", "--core-report", file]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *SUITE],
        cwd=tests,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tests.parent)]), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert file.exists(), ran.stdout + ran.stderr
    report: dict[str, Any] = json.loads(file.read_text())
    return report, ran.stdout
