"""docs/performance.md shows one run: its table and its pictures are those of the figures beside them."""

from typing import Any

import orjson
import pytest

from bench.picture import picture
from bench.report import Fact, Round, Section
from settings import ROOT

PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
COUNTED = {"rate", "cpu_us"}  # follow from the rest of a round


def section(told: dict[str, Any]) -> Section:
    rounds = [Round(**{name: value for name, value in one.items() if name not in COUNTED}) for one in told["rounds"]]
    facts = [Fact(one["name"], one["unit"], tuple(one["values"])) for one in told["facts"]]
    return Section(told["database"], rounds, facts, told["conditions"])


@pytest.fixture
def sections() -> list[Section]:
    return [section(told) for told in orjson.loads((FOLDER / "bench.json").read_bytes())["databases"]]


def test_both_databases_were_measured(sections: list[Section]) -> None:
    assert [one.database for one in sections] == ["postgresql", "sqlite"]


def test_the_table_is_that_of_the_figures(sections: list[Section]) -> None:
    table = "\n".join(one.text() for one in sections)

    assert (FOLDER / "bench.txt").read_text("utf-8") == table
    assert f"```text\n{table}```\n" in PAGE.read_text("utf-8")


def test_the_pictures_are_those_of_the_figures(sections: list[Section]) -> None:
    for one in sections:
        assert (FOLDER / f"{one.database}.svg").read_text("utf-8") == picture(one)
        assert f"(performance/{one.database}.svg)" in PAGE.read_text("utf-8")


def test_the_operations_page_tells_the_same_figures(sections: list[Section]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    lines = [{line.work: line for line in one.lines if line.rival == "ours"} for one in sections]

    for work in ("list of 20", "createEvent", "rsvp", "feed of 1,000", "feed unchanged"):
        assert " / ".join(f"{one[work].rate:,.0f}" for one in lines) in page
    facts = [{fact.name: fact for fact in one.facts} for one in sections]
    for name, fact in facts[0].items():
        if name.startswith("memory of"):
            assert f"{fact.median:.0f} {fact.unit}" in page
    slower = [one["reads' p99 while many sign in"].median / one["reads' p99, idle"].median for one in facts]
    assert " / ".join(f"{times:.1f}" for times in slower) + " times as long" in page
