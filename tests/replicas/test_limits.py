"""Tries, counted: how the wait grows, and how little memory a flood of them takes. No test waits."""

import pytest
from limits import RateLimitItem
from limits.aio.strategies import FixedWindowRateLimiter

from errors import RateLimited
from replicas.limits import Count, Memory, Rates

GUESSES = Count("signin", "ana", per_hour=20)
MINUTE, HOUR, DAY = 60, 3600, 86_400


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> Rates:
    return Rates(clock=clock)


async def wait(rates: Rates, *counts: Count) -> int:
    """The seconds to wait before another try: 0 where this one was counted."""
    try:
        await rates.take(*counts)
    except RateLimited as refused:
        return refused.retry_after
    return 0


async def test_the_wait_grows_with_the_tries(rates: Rates, clock: Clock) -> None:
    waits = []
    tries = 0
    while tries < 60:
        if seconds := await wait(rates, GUESSES):
            waits.append(seconds)
            clock.seconds += seconds
        else:
            tries += 1
    waits.append(await wait(rates, GUESSES))

    within_an_hour = [MINUTE] * 3 + [HOUR - 3 * MINUTE]
    assert waits == within_an_hour * 2 + [MINUTE] * 3 + [DAY - 2 * HOUR - 3 * MINUTE]


async def test_who_waits_as_told_is_let_in(rates: Rates, clock: Clock) -> None:
    clock.seconds += 0.7
    for _ in range(5):
        assert await wait(rates, GUESSES) == 0
    clock.seconds += 10.5
    seconds = await wait(rates, GUESSES)

    clock.seconds += seconds

    assert seconds == 50  # 49.5, told in whole seconds
    assert await wait(rates, GUESSES) == 0


async def test_to_knock_again_does_not_lengthen_the_wait(rates: Rates, clock: Clock) -> None:
    for _ in range(5):
        await rates.take(GUESSES)
    for _ in range(1000):
        assert await wait(rates, GUESSES) == MINUTE

    clock.seconds += MINUTE

    assert await wait(rates, GUESSES) == 0


async def test_of_two_counts_none_is_taken_where_one_is_full(rates: Rates) -> None:
    of_address = Count("signin from", "192.0.2.1", per_hour=100)
    for _ in range(5):
        await rates.take(GUESSES, of_address)
    for _ in range(100):
        assert await wait(rates, GUESSES, of_address) == MINUTE

    left = [await wait(rates, of_address) for _ in range(21)]

    assert left == [0] * 20 + [MINUTE]


async def test_what_is_given_back_was_never_taken(rates: Rates, clock: Clock) -> None:
    for _ in range(1000):
        await rates.take(GUESSES)
        await rates.give_back(GUESSES)
    await rates.take(GUESSES)
    clock.seconds += DAY
    await rates.give_back(GUESSES)  # its windows are over

    assert [await wait(rates, GUESSES) for _ in range(6)] == [0] * 5 + [MINUTE]


async def test_names_and_kinds_are_counted_apart_until_cleared(rates: Rates) -> None:
    others = [Count("signin", "ben", per_hour=20), Count("password", "ana", per_hour=20)]
    for _ in range(5):
        await rates.take(GUESSES)

    assert [await wait(rates, other) for other in others] == [0, 0]
    assert await wait(rates, GUESSES) == MINUTE
    await rates.clear(GUESSES)
    assert await wait(rates, GUESSES) == 0


async def test_a_storage_that_is_shared_lets_no_more_through(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking and counting, another process may have come."""
    rates = Rates(clock=clock)

    async def always_room(self: FixedWindowRateLimiter, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return True

    monkeypatch.setattr(FixedWindowRateLimiter, "test", always_room)

    assert [await wait(rates, GUESSES) for _ in range(6)] == [0] * 5 + [MINUTE]


async def test_a_flood_of_names_takes_no_more_memory_than_it_may(clock: Clock) -> None:
    memory = Memory(clock, most=300)
    rates = Rates(memory, clock)

    for number in range(1000):
        await rates.take(Count("signin", f"made up {number}", per_hour=20))
        assert len(memory) <= 300

    assert [await wait(rates, Count("signin", "made up 999", per_hour=20)) for _ in range(5)] == [0] * 4 + [MINUTE]


async def test_a_flood_of_one_kind_has_no_other_kind_forgotten(clock: Clock) -> None:
    memory = Memory(clock, most=300)
    rates = Rates(memory, clock)
    for _ in range(5):
        await rates.take(GUESSES)

    for number in range(1000):
        await rates.take(Count("refresh", f"made up {number}", per_hour=20))

    assert len(memory) == 300
    assert await wait(rates, GUESSES) == MINUTE


async def test_tries_that_are_given_back_have_no_count_forgotten(clock: Clock) -> None:
    memory = Memory(clock, most=300)
    rates = Rates(memory, clock)
    for _ in range(5):
        await rates.take(GUESSES)

    for number in range(1000):
        await rates.take(made_up := Count("signin", f"made up {number}", per_hour=20))
        await rates.give_back(made_up)

    assert len(memory) == 3
    assert await wait(rates, GUESSES) == MINUTE


async def test_what_is_over_goes_as_others_come(clock: Clock) -> None:
    memory = Memory(clock)
    rates = Rates(memory, clock)
    for number in range(100):
        await rates.take(Count("signin", f"of yesterday {number}", per_hour=20))
    assert len(memory) == 300
    clock.seconds += DAY

    for number in range(50):
        await rates.take(Count("signin", f"of today {number}", per_hour=20))

    assert len(memory) == 150
