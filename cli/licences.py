"""python -m cli.licences: writes docs/licences.md, the licences of what is installed for running, as each package says
itself. It asks no network."""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from settings import ROOT

LISTED = ROOT / "docs" / "licences.md"
PINNED = ROOT / "requirements" / "otel.txt"  # with all of runtime.txt
HEAD = """# Licences of what runs

What `requirements/otel.txt` names (the server with traces) and this machine has installed, with the licence that each
package gives in its metadata. Written by `python -m cli.licences`.

| Package | Licence |
|---|---|
"""


def table() -> str:
    found = [(name, _installed(name)) for name in _pinned()]
    return HEAD + "".join(f"| {name} | {_licence(package)} |\n" for name, package in found if package)


def _pinned() -> list[str]:
    return sorted({*re.findall(r"^([a-z0-9._-]+)==", PINNED.read_text("utf-8"), re.MULTILINE)})


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None  # for another system, or another Python


def _licence(package: Distribution) -> str:
    """Its SPDX expression; in packages made before there were any, the classifiers, else the first line of the text."""
    told = package.metadata
    if expression := told.get_all("License-Expression"):
        return str(expression[0])
    classified = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License")]
    return ", ".join(classified) or str((told.get_all("License") or ["not told"])[0]).strip().splitlines()[0]


def main() -> None:
    LISTED.write_text(table(), "utf-8")
    sys.stderr.write(f"Wrote {LISTED.relative_to(ROOT)}.\n")


if __name__ == "__main__":
    main()
