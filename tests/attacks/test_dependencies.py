"""Each package that runs was looked at, in the version that is locked: docs/security/dependencies.md."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

from settings import ROOT

PAGE = ROOT / "docs" / "security" / "dependencies.md"
ROWS = re.findall(r"^\| ([a-z0-9._-]+) \| ([\w., ]+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
MADE_BY = packages_distributions()
LOCKED = re.findall(
    r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / "requirements/runtime.txt").read_text("utf-8"), re.MULTILINE
)


def test_each_locked_version_was_looked_at() -> None:
    looked_at = [(name, version) for name, versions, _ in ROWS for version in versions.split(", ")]

    assert looked_at == sorted(LOCKED)  # a new one: look for what is known of it, then write it down


def test_what_is_said_not_to_be_imported_is_not() -> None:
    """By a server, as its command starts it."""
    script = "import sys, cli, cli.serve; from app import app; print(*{name.partition('.')[0] for name in sys.modules})"
    given = {"SECRET_KEY": "a secret of more than 32 characters", "DATABASE_URL": "sqlite://var/never-opened"}
    environment = {**os.environ, **given}
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=True)

    imported = {package for module in ran.stdout.decode().split() for package in MADE_BY.get(module, ())}

    assert {"fastapi", "python-jose"} <= {name.lower() for name in imported}
    said = {name for name, _, known in ROWS if re.search(r"[Nn]ot imported", known)}
    assert {"ecdsa", "rsa", "pyasn1"} <= said
    assert said & imported == set()


def test_the_page_is_reached_from_security() -> None:
    assert "(docs/security/dependencies.md)" in (ROOT / "SECURITY.md").read_text("utf-8")
