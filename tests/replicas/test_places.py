"""Who has written up to where: what one process notes, all others know."""

from collections.abc import AsyncIterator

import pytest

from replicas.places import Places, SharedPlaces
from tests.redis import RedisServer


@pytest.fixture
async def shared(redis: RedisServer) -> AsyncIterator[tuple[SharedPlaces, SharedPlaces]]:
    """Of two processes."""
    one, other = SharedPlaces(redis.url, "planner:wrote:"), SharedPlaces(redis.url, "planner:wrote:")
    yield one, other
    await one.close()
    await other.close()


async def test_the_latest_place_counts_whichever_is_told_last() -> None:
    places = Places()
    await places.note("ana", 20)
    await places.note("ana", 10)

    assert await places.of("ana") == 20
    assert await places.of("ben") == 0


async def test_of_a_forgotten_account_at_least_its_place_is_told() -> None:
    places = Places(most=2)
    for account, place in (("ana", 30), ("ben", 10), ("cleo", 20), ("dora", 40)):
        await places.note(account, place)

    assert [await places.of(account) for account in ("ana", "ben", "cleo", "dora", "emil")] == [30, 30, 20, 40, 30]


async def test_other_processes_know_it(shared: tuple[SharedPlaces, SharedPlaces]) -> None:
    one, other = shared
    assert await one.note("ana", 20)
    assert await other.note("ana", 10)

    assert [await places.of("ana") for places in shared] == [20, 20]
    assert await other.of("ben") == 0


async def test_without_redis_nobody_can_tell(shared: tuple[SharedPlaces, SharedPlaces], redis: RedisServer) -> None:
    one = shared[0]
    await one.note("ana", 20)
    redis.stop()

    assert not await one.note("ana", 30)
    assert [await places.of("ana") for places in shared] == [None, None]
