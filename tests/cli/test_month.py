from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from cli.month import PEOPLE, STORY, Planned, month
from models.event_input import checked

NOW = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)


@pytest.fixture(params=range(7), ids="on day {}".format)
def planned(request: pytest.FixtureRequest) -> list[Planned]:
    """A month, begun on each day of the week."""
    return month(seed=request.param, now=NOW + timedelta(days=request.param))


def test_the_same_seed_tells_the_same_story() -> None:
    assert month(7, NOW) == month(7, NOW)
    assert month(7, NOW) != month(8, NOW)


def test_a_month_has_60_events_of_40_people(planned: list[Planned]) -> None:
    assert len(planned) == 60
    assert len(set(PEOPLE)) == 40
    assert {step.person for one in planned for step in one.steps} == set(PEOPLE)
    korean = sum(any("가" <= letter <= "힣" for letter in one.event.title) for one in planned)
    assert 20 <= korean <= 40
    assert max(one.starts_at for one in planned) - min(one.starts_at for one in planned) < timedelta(days=31)


def test_every_event_may_be_published(planned: list[Planned]) -> None:
    for one in planned:
        checked(vars(one.event))


def test_all_has_happened_and_in_order(planned: list[Planned]) -> None:
    now = max(step.at for one in planned for step in one.steps)
    assert now < NOW + timedelta(days=7)
    for one in planned:
        at = [one.created_at, *(step.at for step in one.steps)]
        assert at == sorted(at)
        holds: Counter[str] = Counter()
        for step in one.steps:
            assert step.person != one.organiser or step.kind == "cancels"
            holds[step.person] += {"takes": 1, "gives up": -1, "cancels": 0}[step.kind]
            assert holds[step.person] in {0, 1}


def test_some_events_are_full_some_cancelled_and_some_places_given_up(planned: list[Planned]) -> None:
    kinds = Counter(step.kind for one in planned for step in one.steps)
    assert kinds["cancels"] == 4
    assert kinds["gives up"] > 20
    wanted = [(one.event.capacity, sum(step.kind == "takes" for step in one.steps)) for one in planned]
    assert sum(capacity is not None and takers > capacity for capacity, takers in wanted) >= 5
    assert sum(capacity is None or takers < capacity for capacity, takers in wanted) >= 20


def test_the_story_is_of_a_full_event_to_come(planned: list[Planned]) -> None:
    organiser, waiting, guest = STORY
    (story,) = (one for one in planned if one.is_story)
    names = [step.person for step in story.steps]

    assert story.organiser == organiser
    assert guest in names[: story.event.capacity]
    assert names[story.event.capacity or 0] == waiting
    assert {step.kind for step in story.steps} == {"takes"}
