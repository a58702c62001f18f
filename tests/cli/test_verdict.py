import pytest

from cli.verdict import History, Taking, Told, judge

SEATED, FIRST, SECOND = Told("CONFIRMED", None), Told("WAITLISTED", 1), Told("WAITLISTED", 2)


def history(**changes: object) -> History:
    """Ana has the one seat; Ben and then Cho wait."""
    kept: dict[str, object] = {
        "capacity": 1,
        "takings": {"ana": Taking(1, 2), "ben": Taking(3, 4), "cho": Taking(5, 6)},
        "told": {"ana": SEATED, "ben": FIRST, "cho": SECOND},
        "confirmed": ["ana"],
        "waiting": ["ben", "cho"],
        "line": ["ben", "cho"],
        "counts": (1, 2),
        "most_seen": 1,
        "faults": [],
    }
    return History(**{**kept, **changes})  # type: ignore[arg-type]  # each is of its field's type


def test_seats_given_in_order_hold() -> None:
    verdict = judge(history())

    assert verdict.holds
    assert (verdict.confirmed, verdict.in_line) == (1, 2)
    assert verdict.text(history()).startswith("1 confirmed, 2 in line, 0 faults\n")
    assert verdict.text(history()).endswith("The seats held.")


def test_requests_that_overlapped_may_stand_in_either_order() -> None:
    overlapping = {"ana": Taking(3, 6), "ben": Taking(2, 7), "cho": Taking(1, 4)}

    assert judge(history(takings=overlapping, line=[])).holds


def test_but_not_once_a_line_has_been_seen() -> None:
    overlapping = {"ana": Taking(8, 9), "ben": Taking(2, 7), "cho": Taking(1, 4)}
    first = {"confirmed": ["ben"], "waiting": ["cho", "ana"], "told": {}}
    last = {"confirmed": ["cho"], "waiting": ["ben", "ana"], "told": {}}

    assert judge(history(takings=overlapping, **first)).holds
    assert judge(history(takings=overlapping, **last)).skipped == 1


def test_who_never_got_an_answer_may_hold_a_place_all_the_same() -> None:
    assert judge(history(takings={"ana": Taking(1, 2), "cho": Taking(5, 6)}, line=[])).skipped == 0


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"confirmed": ["ana", "ben"], "waiting": ["cho"], "counts": (2, 1)}, "overbooked"),
        ({"most_seen": 2}, "overbooked"),
        ({"counts": (2, 2)}, "overbooked"),
        ({"confirmed": [], "waiting": ["ana", "ben", "cho"], "counts": (0, 3)}, "empty"),
        ({"confirmed": ["ana"], "waiting": ["ben", "cho", "ana"]}, "doubled"),
        ({"waiting": ["ben"], "counts": (1, 1)}, "lost"),
        ({"waiting": ["cho", "ben"]}, "skipped"),
        ({"confirmed": ["cho"], "waiting": ["ana", "ben"]}, "skipped"),
        ({"counts": (1, 3)}, "miscounted"),
        ({"told": {"ana": SEATED, "ben": SECOND, "cho": FIRST}}, "miscounted"),
        ({"told": {"dan": SEATED}}, "miscounted"),
        ({"faults": ["INTERNAL: a fault"]}, "faults"),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, object], found: str) -> None:
    wrong = history(**changes)
    verdict = judge(wrong)

    assert getattr(verdict, found) > 0
    assert not verdict.holds
    assert verdict.text(wrong).endswith("The seats did NOT hold.")
