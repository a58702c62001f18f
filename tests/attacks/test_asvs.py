"""docs/security/asvs.md is whole, and the tests that it names are there."""

import ast
import re
from datetime import UTC, datetime, timedelta
from functools import cache

from auth import Accounts
from settings import ROOT, Settings
from tests.people import PASSWORD

PAGE = (ROOT / "docs" / "security" / "asvs.md").read_text("utf-8")
# Of ASVS 5.0.0: those of its chapters 2, 4, 6, 7, 8, 9, 11, 14 and 16 that bear on accounts, tokens and this API.
IDS = [
    *("2.4.1", "4.1.1", "4.1.3", "4.1.4", "4.3.1", "4.3.2", "4.4.2"),
    *("6.1.1", "6.2.1", "6.2.2", "6.2.3", "6.2.4", "6.2.5", "6.2.9", "6.2.10"),
    *("6.3.1", "6.3.2", "6.3.4", "6.3.8", "6.4.1", "6.4.3", "6.5.1", "6.5.2"),
    *("7.1.1", "7.2.1", "7.2.2", "7.2.3", "7.2.4", "7.3.1", "7.3.2", "7.4.1", "7.4.2", "7.4.3", "7.5.2"),
    *("8.2.2", "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.2.2", "9.2.3", "11.4.2", "14.2.1", "16.3.1"),
]
ROWS = re.findall(r"^\| (\d+\.\d+\.\d+) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_each_requirement_is_there_once() -> None:
    assert [id_ for id_, _, _ in ROWS] == IDS


def test_each_is_met_by_a_test_or_does_not_apply_for_a_reason() -> None:
    for id_, asks, here in ROWS:
        assert len(asks) > 10, id_
        if here.startswith("Met"):
            assert TEST.search(here), id_
        else:
            assert re.match(r"Not applicable: \w.{20,}", here), id_
    assert "planned" not in PAGE.casefold()


def test_each_test_that_it_names_exists() -> None:
    named = TEST.findall(PAGE)

    assert len(named) == PAGE.count("::")
    assert [f"{file}::{test}" for file, test in named if test not in functions_of(file)] == []


async def test_a_password_does_not_expire(database: Settings) -> None:
    accounts, now = Accounts(database), datetime(2026, 12, 1, 10, tzinfo=UTC)
    await accounts.sign_up("ana@test.com", PASSWORD, "ana", now=now)

    viewer, _ = await accounts.sign_in("ana@test.com", PASSWORD, now=now + timedelta(days=20 * 365))

    assert viewer.username == "ana"


@cache
def functions_of(file: str) -> set[str]:
    path = ROOT / file
    tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
