"""Tries that several processes count together, in Redis; and each for itself, while it does not answer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic

import pytest
from redis.asyncio import Redis as Client

from errors import RateLimited
from replicas.asking import ANSWER_SECONDS, REST_SECONDS, UNANSWERED
from replicas.limits import Count, Rates, Shared
from tests.redis import PASSWORD, RedisServer

GUESSES = Count("signin", "ana", per_hour=20)


def unanswered() -> float:
    return float(UNANSWERED.labels("count")._value.get())


async def tries(rates: Rates, number: int) -> int:
    """How many of them are counted."""
    counted = 0
    for _ in range(number):
        with suppress(RateLimited):
            await rates.take(GUESSES)
            counted += 1
    return counted


@pytest.fixture
async def two(redis: RedisServer) -> AsyncIterator[tuple[Rates, Rates]]:
    """Two processes' rates."""
    one, other = (Rates(Shared(redis.url, "tries:")) for _ in range(2))
    yield one, other
    await one.close()
    await other.close()


async def test_processes_count_together(two: tuple[Rates, Rates]) -> None:
    one, other = two

    assert [await tries(one, 3), await tries(other, 3), await tries(one, 1)] == [3, 2, 0]


async def test_hundreds_at_once_find_no_more_places(two: tuple[Rates, Rates]) -> None:
    counted = await asyncio.gather(*(tries(rates, 1) for rates in two for _ in range(100)))

    assert sum(counted) == 5
    with pytest.raises(RateLimited) as refused:
        await two[0].take(GUESSES)
    assert 1 <= refused.value.retry_after <= 60  # those who were refused have not filled the hour


async def test_who_is_refused_at_one_of_two_counts_has_taken_none_of_the_other(two: tuple[Rates, Rates]) -> None:
    of_address = Count("signin from", "192.0.2.1", per_hour=100)

    async def tries_at_both(rates: Rates) -> bool:
        with suppress(RateLimited):
            await rates.take(of_address, GUESSES)
            return True
        return False

    assert sum(await asyncio.gather(*(tries_at_both(rates) for rates in two for _ in range(10)))) == 5

    for _ in range(20):
        await two[0].take(of_address)
    with pytest.raises(RateLimited):
        await two[0].take(of_address)


async def test_what_is_given_back_was_never_taken(two: tuple[Rates, Rates]) -> None:
    one, other = two
    await one.give_back(GUESSES)  # nothing was taken in these windows: there is nothing to take it from
    for _ in range(10):
        assert await tries(one, 1) == 1
        await one.give_back(GUESSES)

    assert await tries(other, 6) == 5


async def test_what_one_clears_is_clear_for_all(two: tuple[Rates, Rates]) -> None:
    one, other = two
    assert await tries(one, 6) == 5

    await other.clear(GUESSES)

    assert await tries(one, 6) == 5


async def test_a_window_is_over_in_redis_too(redis: RedisServer) -> None:
    storage = Shared(redis.url, "tries:")

    assert await storage.incr("LIMITER/signin/ana/1", 0.05) == 1
    assert await storage.incr("LIMITER/signin/ana/1", 0.05) == 2
    await asyncio.sleep(0.1)
    assert await storage.incr("LIMITER/signin/ana/1", 0.05) == 1
    await storage.close()


async def test_without_redis_each_counts_for_itself_and_goes_on_from_its_own(
    two: tuple[Rates, Rates], redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    assert [await tries(one, 2), await tries(other, 1)] == [2, 1]
    redis.stop()

    assert [await tries(one, 5), await tries(other, 5)] == [3, 4]

    await redis.start()
    await asyncio.sleep(REST_SECONDS)
    assert [await tries(one, 3), await tries(other, 3)] == [3, 2]  # together again
    assert (
        sum(record.levelno == logging.WARNING for record in caplog.records) == 2
    )  # once for each, however many tries there were
    assert PASSWORD not in caplog.text


async def test_a_full_redis_is_read_and_yet_each_counts_for_itself(
    two: tuple[Rates, Rates], redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    client = Client.from_url(redis.url)
    assert await tries(one, 2) == 2
    assert await one.are_shared()
    counted = unanswered()
    await client.config_set("maxmemory", "1")

    assert [await tries(one, 4), await tries(other, 6)] == [3, 5]
    assert not await one.are_shared()
    await asyncio.sleep(REST_SECONDS)
    await tries(one, 1)
    assert unanswered() > counted
    # Once for each: that it answers who reads does not count as well.
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2

    await client.config_set("maxmemory", "0")
    await client.aclose()
    await asyncio.sleep(REST_SECONDS)
    assert await one.are_shared()


async def test_counts_of_one_process_are_shared_with_all_that_there_are() -> None:
    assert await Rates().are_shared()


async def test_one_try_alone_waits_for_a_redis_that_hangs(two: tuple[Rates, Rates], redis: RedisServer) -> None:
    one, _ = two
    await tries(one, 1)
    with redis.halted():
        began = monotonic()
        assert await tries(one, 1) == 1
        assert monotonic() - began < ANSWER_SECONDS + 0.2

        began = monotonic()
        assert await tries(one, 3) == 3
        assert monotonic() - began < 0.1
