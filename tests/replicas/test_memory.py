import asyncio
import logging

import pytest

from replicas import MOST_WAITING, FellBehind
from replicas.memory import Memory


@pytest.fixture
def replicas() -> Memory[int]:
    return Memory()


async def test_a_subscriber_hears_what_it_wants_in_its_order(replicas: Memory[int]) -> None:
    with replicas.subscribe("even", "odd", wants=lambda number: number > 1) as heard:
        for number in range(6):
            replicas.publish("odd" if number % 2 else "even", number)
        replicas.publish("another", 7)

        assert [await anext(heard) for _ in range(4)] == [2, 3, 4, 5]


async def test_a_message_wakes_who_waits(replicas: Memory[int]) -> None:
    with replicas.subscribe("a") as one, replicas.subscribe("a") as other:
        waiting = asyncio.gather(anext(one), anext(other))
        await asyncio.sleep(0)
        replicas.publish("a", 1)

        assert tuple(await waiting) == (1, 1)


async def test_who_falls_behind_is_told_so_and_nothing_is_kept(replicas: Memory[int]) -> None:
    with replicas.subscribe("a") as slow, replicas.subscribe("a") as quick:
        for number in range(MOST_WAITING + 1):
            replicas.publish("a", number)
            assert await anext(quick) == number

        for _ in range(2):
            with pytest.raises(FellBehind):
                await anext(slow)


async def test_as_many_may_wait_as_are_kept(replicas: Memory[int]) -> None:
    with replicas.subscribe("a") as heard:
        for number in range(MOST_WAITING):
            replicas.publish("a", number)

        assert [await anext(heard) for _ in range(MOST_WAITING)] == [*range(MOST_WAITING)]


async def test_a_subscriber_that_fails_harms_nobody_else(
    replicas: Memory[int], caplog: pytest.LogCaptureFixture
) -> None:
    with replicas.subscribe("a", wants=lambda number: 1 / number > 0) as fails, replicas.subscribe("a") as other:
        replicas.publish("a", 0)

        assert await anext(other) == 0
        with pytest.raises(ZeroDivisionError):
            await anext(fails)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_who_leaves_is_forgotten(replicas: Memory[int]) -> None:
    with replicas.subscribe("a") as heard, replicas.subscribe("a"):
        assert replicas.subscribers("a") == 2

    assert replicas.subscribers("a") == 0
    replicas.publish("a", 1)
    assert not heard._waiting
