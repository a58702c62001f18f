"""The published schema: printed, and held against what was published before."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from graphql import build_schema
from graphql.utilities import find_breaking_changes

from schema import schema as current
from settings import ROOT

PUBLISHED = ROOT / "schema.graphql"
RELEASES = ROOT / "releases"


def schema(
    check: Annotated[bool, typer.Option("--check", help="Compare with schema.graphql and the last release.")] = False,
) -> None:
    """Print the schema in GraphQL's schema language."""
    text = current.as_str() + "\n"
    if not check:
        sys.stdout.write(text)
        return
    if problems := differences(text, PUBLISHED.read_text("utf-8"), last_release().read_text("utf-8")):
        sys.stderr.write("\n".join(problems) + "\n")
        sys.exit(1)


def differences(text: str, published: str, released: str) -> list[str]:
    """What keeps the schema from being published as it is."""
    problems = [] if text == published else ["schema.graphql differs from the code: run make schema, and look at it."]
    changes = find_breaking_changes(build_schema(released), build_schema(text))
    return problems + [f"Breaks clients of the last release: {change.description}" for change in changes]


def last_release() -> Path:
    """releases/<version>.graphql with the highest version."""
    return max(RELEASES.glob("*.graphql"), key=lambda file: [int(part) for part in file.stem.split(".")])
