"""What a report makes of the rounds."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest

from bench.picture import picture
from bench.report import Fact, Round, Section, write

CONDITIONS = {"database": "PostgreSQL 15 (127.0.0.1:5432)", "data": "few events"}


def rounds_of(work: str, rival: str, *rates: int, server_cpu: float | None = 1.0) -> list[Round]:
    return [Round(work, rival, rate, 1.0, 2.0, 9.0, server_cpu, 0.1) for rate in rates]


@pytest.fixture
def section() -> Section:
    rounds = [
        *rounds_of("list of 20", "limit", 1_000, 2_000, 400, server_cpu=0.5),
        *rounds_of("list of 20", "ours", 900, 1_000, 300),
        *rounds_of("list of 20", "plain", 90, 50, 15),
        *rounds_of("feed of 1,000", "ours", 30),
        *rounds_of("first page", "ours", 110),
        *rounds_of("deep page", "ours", 100),
    ]
    facts = [Fact("reads' p99, idle", "ms", (2.0, 3.0)), Fact("reads' p99 while many sign in", "ms", (10.0,))]
    return Section("postgresql", rounds, facts, CONDITIONS)


def line(section: Section, work: str, rival: str) -> Any:
    return next(one for one in section.lines if (one.work, one.rival) == (work, rival))


def test_a_share_is_the_median_of_the_rounds_shares(section: Section) -> None:
    # 0.9, 0.5 and 0.75; the medians' share would be 0.9.
    ours = line(section, "list of 20", "ours")

    assert ours.of_limit == pytest.approx(0.75)
    assert (ours.rate, ours.slowest, ours.fastest) == (900, 300, 1_000)
    assert section.share("list of 20", of="plain") == pytest.approx(20)


def test_cpu_tells_what_an_answer_costs_also_where_the_server_waited(section: Section) -> None:
    limit, ours = line(section, "list of 20", "limit"), line(section, "list of 20", "ours")

    assert limit.cpu_us == pytest.approx(500)  # half a core for 1,000 answers a second
    assert ours.cpu_over_limit == pytest.approx((1 / 900) / (0.5 / 1_000))
    assert "50%*" in section.text()


def test_what_has_no_limit_has_no_share(section: Section) -> None:
    assert line(section, "feed of 1,000", "ours").of_limit is None
    assert section.share("rsvp") is None


def test_targets_are_held_against_what_was_measured(section: Section) -> None:
    told = {verdict.name: (round(verdict.value, 2), verdict.is_met) for verdict in section.verdicts}

    assert told == {
        "list of 20, of the limit": (0.75, True),
        "list of 20, times as many as plain": (20.0, True),
        "deep page, times the first page's time": (1.1, True),
        "reads' p99 while many sign in, times idle": (4.0, False),
    }


def test_shares_of_the_limit_are_promised_on_postgresql_alone(section: Section) -> None:
    on_sqlite = Section("sqlite", section.rounds, section.facts, CONDITIONS)

    assert [verdict.name for verdict in on_sqlite.verdicts] == [
        "deep page, times the first page's time",
        "reads' p99 while many sign in, times idle",
    ]


def test_the_picture_is_svg_and_names_each_work_and_fact(section: Section) -> None:
    drawn = ElementTree.fromstring(picture(section))  # noqa: S314 - drawn here
    said = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]

    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    for work in ("list of 20", "feed of 1,000", "first page", "deep page"):
        assert said.count(work) == 1
    assert "900/s  0.75" in said
    assert "reads' p99, idle: 2.50 ms" in said


def test_a_name_in_the_picture_is_text_whatever_it_holds() -> None:
    section = Section("sqlite", rounds_of("a < b & c", "ours", 10), [], CONDITIONS)

    drawn = ElementTree.fromstring(picture(section))  # noqa: S314

    assert "a < b & c" in [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_the_folder_has_the_table_the_figures_and_a_picture(section: Section, tmp_path: Path) -> None:
    folder = write([section], tmp_path / "report")

    told = orjson.loads((folder / "bench.json").read_bytes())
    (database,) = told["databases"]
    assert database["conditions"] == CONDITIONS
    assert database["lines"][1]["of_limit"] == pytest.approx(0.75)
    assert len(database["rounds"]) == len(section.rounds)
    assert told["packages"]["strawberry-graphql"]
    assert (folder / "bench.txt").read_text("utf-8") == section.text()
    assert (folder / "postgresql.svg").read_text("utf-8") == picture(section)
