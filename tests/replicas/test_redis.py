"""Processes that hear of each other by Redis: what comes, and how it is told that something may not have come."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis as Client

from replicas import Apart, Missed, Place, Subscription
from replicas.redis import MOST_UNSENT, UNREADABLE, UNSENT, Redis
from tests.redis import PASSWORD, RedisServer
from tests.sockets import until

Make = Callable[[], Awaitable[Redis[int]]]


class Numbers:
    """Numbers, which are one line; a negative one is part of the next."""

    def write(self, message: int) -> Any:
        return {"number": message}

    def read(self, written: Any) -> int:
        return int(written["number"])

    def place(self, message: int) -> Place:
        return Place("line") if message < 0 else Place("line", message, message + 1)


@pytest.fixture
async def make(redis: RedisServer) -> AsyncIterator[Make]:
    made: list[Redis[int]] = []

    async def make() -> Redis[int]:
        replicas = Redis[int](redis.url, "changes", Numbers(), beat_seconds=0.2)
        await replicas.open()
        await until(lambda: replicas.is_whole)
        made.append(replicas)
        return replicas

    yield make
    for replicas in made:
        await replicas.close()


@pytest.fixture
async def says(redis: RedisServer) -> AsyncIterator[Callable[[Any], Awaitable[None]]]:
    """Says anything in the channel."""
    client = Client.from_url(redis.url)

    async def says(word: Any) -> None:
        await client.publish("changes", word if isinstance(word, bytes) else orjson.dumps(word))

    yield says
    await client.aclose()


async def hears(heard: Subscription[int], number: int) -> list[int]:
    async with asyncio.timeout(10):
        return [await anext(heard) for _ in range(number)]


async def is_ended(heard: Subscription[int]) -> bool:
    """Whether it ends with Missed, whatever it hears before."""
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            try:
                async for _ in heard:
                    pass
            except Missed:
                return True
    return False


async def test_what_one_publishes_all_hear_in_the_order_of_its_line(make: Make) -> None:
    one, other = await make(), await make()
    with one.subscribe("numbers") as here, other.subscribe("numbers") as there:
        for number in range(0, 200, 2):
            other.publish("numbers", number + 1)  # before the one that stands before it
            one.publish("numbers", number)

        assert await hears(here, 200) == [*range(200)]
        assert await hears(there, 200) == [*range(200)]


async def test_messages_of_one_step_come_together_by_their_topics(make: Make) -> None:
    one, other = await make(), await make()
    with other.subscribe("small", "numbers") as there, other.subscribe("small") as small:
        one.publish("small", -1)
        one.publish("small", -2)
        one.publish("numbers", 0)

        assert await hears(there, 3) == [-1, -2, 0]
        assert await hears(small, 2) == [-1, -2]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff\x00", b"[" * 100_000, b"null", b"17", b"{}", b'{"planner": "many", "from": 1}', b'{"planner": 1}'],
)
async def test_garbage_is_counted_and_nothing_comes_of_it(make: Make, says: Any, garbage: bytes) -> None:
    one, other = await make(), await make()
    counted = UNREADABLE._value.get()
    with other.subscribe("numbers") as there:
        await says(garbage)
        await until(lambda: UNREADABLE._value.get() >= counted + 2)
        one.publish("numbers", 0)

        assert await hears(there, 1) == [0]


@pytest.mark.parametrize(
    "steps", [None, 5, [5], [["line", 0]], [["line", 0, 1, [["numbers", {"text": 1}]]]], [["line", "x", 1, []]]]
)
async def test_a_step_that_cannot_be_read_is_missed(make: Make, says: Any, steps: Any) -> None:
    replicas = await make()
    with replicas.subscribe("numbers") as heard:
        await says({"planner": 1, "from": "another", "dropped": False, "leaves": True, "steps": steps})

        assert await is_ended(heard)
    assert replicas.is_whole


async def test_what_another_version_says_is_missed(make: Make, says: Any) -> None:
    replicas = await make()
    with replicas.subscribe("numbers") as heard:
        await says({"planner": 2, "from": "another", "more": True})

        assert await is_ended(heard)


async def test_who_wants_what_comes_too_late_is_told_so_and_nobody_else(make: Make) -> None:
    replicas = await make()
    with (
        replicas.subscribe("numbers", wants=lambda number: number < 5) as wants,
        replicas.subscribe("numbers", wants=lambda number: number > 5) as does_not,
    ):
        replicas.publish("numbers", 6)
        assert await hears(does_not, 1) == [6]
        replicas.publish("numbers", 4)
        replicas.publish("numbers", 7)

        assert await is_ended(wants)
        assert await hears(does_not, 1) == [7]


async def test_a_process_that_ends_without_its_leave_is_missed(make: Make) -> None:
    one, other, killed = await make(), await make(), await make()
    with one.subscribe("numbers") as heard:
        await until(lambda: len(one._others) == 2)
        await other.close()
        await until(lambda: len(one._others) == 1)
        assert heard._end is None

        for task in killed._tasks:
            task.cancel()

        assert await is_ended(heard)
    with one.subscribe("numbers"):
        pass


async def test_when_redis_stops_subscriptions_end_and_come_again_with_it(
    make: Make, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "planner.replicas")
    one, other = await make(), await make()
    with one.subscribe("numbers") as heard:
        redis.stop()

        assert await is_ended(heard)
    with pytest.raises(Apart):
        one.subscribe("numbers")
    one.publish("numbers", 0)  # and nothing comes of it

    await redis.start()
    await until(lambda: one.is_whole and other.is_whole)
    with one.subscribe("numbers") as heard:
        other.publish("numbers", 1)
        assert await hears(heard, 1) == [1]
    assert PASSWORD not in caplog.text


async def test_who_publishes_does_not_wait_while_redis_hangs_and_the_rest_is_missed(
    make: Make, redis: RedisServer
) -> None:
    one, other = await make(), await make()
    counted = UNSENT._value.get()
    with one.subscribe("numbers", wants=lambda number: number < 100) as heard:
        with redis.halted():
            began = monotonic()
            for number in range(MOST_UNSENT + 10):
                one.publish("numbers", number)
            assert monotonic() - began < 1

            assert await is_ended(heard)
            assert not one.is_whole
        assert UNSENT._value.get() > counted
    await until(lambda: one.is_whole and other.is_whole)


async def test_others_are_told_of_what_was_dropped(make: Make) -> None:
    one, other = await make(), await make()
    with other.subscribe("numbers") as there:
        for number in range(MOST_UNSENT + 1):  # without a moment in which to send
            one.publish("numbers", number)

        assert await is_ended(there)


async def test_what_was_published_last_is_sent_before_it_leaves(make: Make) -> None:
    one, other = await make(), await make()
    with other.subscribe("numbers") as there:
        for number in range(120):
            one.publish("numbers", number)
        await one.close()

        assert await hears(there, 120) == [*range(120)]
        assert there._end is None


async def test_who_may_listen_and_not_speak_takes_no_subscribers(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client.from_url(redis.url)
    await client.acl_setuser("default", enabled=True, commands=["-publish"])
    replicas = Redis[int](redis.url, "changes", Numbers(), beat_seconds=0.2)
    was_whole: list[bool] = []
    await replicas.open()
    while len(was_whole) < 60:  # that is, while it tries again twice
        was_whole.append(replicas.is_whole)
        await asyncio.sleep(0.05)

    assert not any(was_whole)
    with pytest.raises(Apart):
        replicas.subscribe("numbers")
    problems = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sorted(problems) == ["Redis, to listen: TimeoutError", "Redis, to send: NoPermissionError"]  # each once

    await client.acl_setuser("default", enabled=True, commands=["+publish"])
    await client.aclose()
    await until(lambda: replicas.is_whole)
    await replicas.close()


async def test_without_redis_it_starts_and_stops(redis: RedisServer) -> None:
    redis.stop()
    replicas = Redis[int](redis.url, "changes", Numbers())
    await replicas.open()
    replicas.publish("numbers", 0)

    assert not replicas.is_whole
    await replicas.close()
