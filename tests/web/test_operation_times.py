import pytest
from graphql import parse
from prometheus_client import CollectorRegistry, generate_latest

from executor import Operation
from executor.documents import Document
from tests.prometheus import Told
from web.operation_times import MOST_CANDIDATES, MOST_NAMES, MOST_RENEWED, OperationTimes

OURS = {"anonymous", "other", "refused"}


def operation(name: str, *, was_used_again: bool = True) -> Operation:
    text = f"query {name} {{ __typename }}"
    document = Document(text, parse(text))
    document.was_used_again = was_used_again
    return document.operation(None)


def operations(name: str, number: int) -> list[Operation]:
    return [operation(f"{name}{one}") for one in range(number)]


class Counted(OperationTimes):
    """With words for what tests do with it."""

    def uses(self, *these: Operation, times: int = 1) -> None:
        for _ in range(times):
            for one in these:
                self.note(one, 0.01)

    @property
    def told(self) -> Told:
        registry = CollectorRegistry()
        registry.register(self)
        return Told(generate_latest(registry).decode())

    @property
    def names(self) -> set[str]:
        return self.told.labels("planner_operation_seconds_count", "operation") - OURS


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def full(counted: Counted) -> Counted:
    """Somebody has made up as many names as have places."""
    counted.uses(*operations("Attack", MOST_NAMES), times=2)
    return counted


def test_two_thousand_names_are_told_as_a_hundred(counted: Counted) -> None:
    counted.uses(*operations("Attack", 2_000))

    told = counted.told
    assert told.value("planner_operation_seconds_count") == 2_000
    assert len(counted.names) == MOST_NAMES
    assert len(told.text) < 200_000


@pytest.mark.parametrize("name", ["other", "anonymous", "refused", "N" * 65])
def test_a_name_of_our_own_or_a_long_one_is_other(counted: Counted, name: str) -> None:
    counted.uses(operation(name), times=3)

    assert counted.told.value("planner_operation_seconds_count", operation="other", kind="query") == 3
    assert counted.names == set()


def test_a_name_that_is_used_more_takes_the_place_of_one_that_is_not(full: Counted) -> None:
    feed = operation("Feed")
    full.uses(feed, times=10)
    assert "Feed" not in full.names

    full.renew()
    full.uses(feed)
    full.renew()

    assert "Feed" in full.names
    assert len(full.names) == MOST_NAMES
    assert full.told.value("planner_operation_seconds_count", operation="Feed") == 1
    assert full.told.value("planner_operation_seconds_count", operation="other") == 10


def test_whoever_makes_up_names_has_no_more_than_sixty_an_hour_told(full: Counted) -> None:
    ever = full.names
    for five_minutes in range(12):
        full.uses(*operations(f"Attack{five_minutes}x", 200), times=5)
        full.renew()
        assert len(full.names - ever) <= MOST_RENEWED
        ever |= full.names

    assert MOST_NAMES < len(ever) <= MOST_NAMES + 60


def test_names_that_are_used_alike_do_not_take_turns(full: Counted) -> None:
    first = full.names
    for _ in range(20):
        full.uses(*operations("Attack", MOST_NAMES), times=4)
        full.uses(operation("Rival"), times=7)
        full.renew()

    assert full.names == first


def test_what_was_used_long_ago_counts_less_and_less(counted: Counted) -> None:
    counted.uses(*operations("Yesterdays", MOST_NAMES), times=1_000)
    for minutes in range(0, 60, 5):
        counted.uses(operation("Feed"), times=10)
        counted.renew()
        assert ("Feed" in counted.names) == (minutes >= 35)


def test_what_is_used_often_is_not_forgotten_in_a_flood(full: Counted) -> None:
    full.uses(*operations("Flood", 3 * MOST_CANDIDATES))
    full.uses(operation("Feed"), times=10)
    full.uses(*operations("Flood", 2 * MOST_CANDIDATES))

    full.renew()

    assert "Feed" in full.names
    assert len(full._candidates.uses) <= MOST_CANDIDATES


def test_a_name_without_document_in_use_waits(counted: Counted) -> None:
    counted.uses(operation("Once", was_used_again=False), times=3)

    assert counted.names == set()
