"""A rush to one event, and everybody else meanwhile."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from tortoise import Tortoise

import models
from errors import NotFound, Unavailable
from models import turns
from models.turns import transaction_at
from settings import Settings
from tests.models.test_rsvp import at_once, event, give_up, stand, take, users

CROWD, SEATS = 200, 10
EVENT = uuid4()  # of which the database need not know
on_postgresql = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


@pytest.fixture
async def patient(settings: Settings) -> AsyncIterator[Settings]:
    """A database on which a rush is over before anybody gives up, be the machine as busy as it may."""
    await models.open_database(settings.model_copy(update={"database_wait_seconds": 60}))
    yield settings
    await models.close_database()


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[Settings]:
    """A database with few connections, that nobody waits for for long."""
    settings = settings.model_copy(update={"database_wait_seconds": 1, "database_pool_size": 4})
    await models.open_database(settings)
    yield settings
    await models.close_database()


class Stay:
    """Somebody who has a turn at the event until told to leave."""

    def __init__(self) -> None:
        self._leave, self._entered = asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(self._stays())
        self.then: Callable[[], Any] = lambda: None  # called at the moment when the turn has been handed on

    async def _stays(self) -> None:
        async with transaction_at(EVENT):
            self._entered.set()
            await self._leave.wait()
        self.then()

    @classmethod
    async def begin(cls) -> "Stay":
        stay = cls()
        await stay._entered.wait()
        return stay

    async def end(self) -> None:
        self._leave.set()
        await self.task


@asynccontextmanager
async def every_turn_taken() -> AsyncIterator[list[Stay]]:
    client: Any = Tortoise.get_connection("default")
    stays = [await Stay.begin() for _ in range(min(turns.AT_ONCE, max(1, client.most_connections // 2)))]
    try:
        yield stays
    finally:
        for stay in stays:
            await stay.end()


class Line:
    """People who come to the event one after another, and whose turn it was, in order."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def joins(self, number: int) -> None:
        async def comes() -> None:
            async with transaction_at(EVENT):
                self.came.append(number)

        self.tasks.append(asyncio.ensure_future(comes()))
        waiting = turns.waiting()
        async with asyncio.timeout(5):
            while turns.waiting() == waiting:  # noqa: ASYNC110 - until it has asked
                await asyncio.sleep(0)


async def is_whole() -> bool:
    """Nobody is in any line, and every connection has been given back."""
    pool = getattr(Tortoise.get_connection("default"), "_pool", None)
    return not turns._events and turns.waiting() == 0 and (pool is None or bool(pool.free == pool.size))


async def test_a_rush_passes_nobody_elsewhere(patient: Settings) -> None:
    """With ten connections, as by default. While somebody else waits for an answer, few of the crowd get theirs; nearly
    all do without turns. That is counted, and not timed: the machine's pace does not matter."""
    ana, *guests = await users(CROWD + 1)
    hot, *others = [await event(ana, SEATS) for _ in range(11)]
    seated, passed = 0, []

    async def rushes(guest: str) -> None:
        nonlocal seated
        await take(hot, guest)
        seated += 1

    async def reads(number: int) -> Any:
        return await models.Event.read(others[number % 10], ("title", "creator.username"))

    async def takes(number: int) -> Any:
        return await (take, give_up)[number // 10 % 2](others[number % 10], ana)

    async def publishes(number: int) -> Any:
        return await event(ana, SEATS)

    async def goes_on(ask: Callable[[int], Awaitable[Any]]) -> None:
        number = 0
        while seated < CROWD:
            before = seated
            await ask(number)  # Unavailable fails the test
            passed.append(seated - before)
            number += 1
            await asyncio.sleep(0.005)  # meanwhile its connection is somebody else's

    async with asyncio.TaskGroup() as group:
        for ask in (reads, reads, takes, publishes):
            group.create_task(goes_on(ask))
        for guest in guests:
            group.create_task(rushes(guest))

    assert max(passed) < CROWD / 4
    assert await stand(hot) == (SEATS, CROWD - SEATS)
    assert await is_whole()


async def test_who_came_first_has_the_first_turn_and_who_goes_loses_it(database: Settings) -> None:
    line = Line()
    async with every_turn_taken() as stays:
        for number in range(6):
            await line.joins(number)
        line.tasks[1].cancel()
        line.tasks[4].cancel()
        await asyncio.wait([line.tasks[1], line.tasks[4]])
        waited = turns.waiting()
        await stays[0].end()  # one turn, which goes from one to the next
        await asyncio.wait(line.tasks)

    assert waited == 4
    assert line.came == [0, 2, 3, 5]
    assert await is_whole()


async def test_a_turn_that_comes_as_its_waiter_goes_is_the_next_ones(database: Settings) -> None:
    line = Line()
    async with every_turn_taken() as stays:
        for number in range(3):
            await line.joins(number)
        stays[0].then = line.tasks[0].cancel
        await stays[0].end()
        async with asyncio.timeout(2):
            await asyncio.wait(line.tasks)

    assert line.tasks[0].cancelled()
    assert line.came == [1, 2]
    assert await is_whole()


async def test_whatever_moment_a_request_is_cancelled_at_no_turn_is_lost(database: Settings) -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    ana, *guests = await users(31)
    talk = await event(ana, SEATS)

    async def comes_and_perhaps_goes(guest: str) -> None:
        task = asyncio.ensure_future(chance.choice((take, give_up))(talk, guest))
        for _ in range(chance.randrange(0, 12)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.random() * 0.05)
        task.cancel()
        with suppress(asyncio.CancelledError, NotFound):
            await task

    for _ in range(6):
        await asyncio.gather(*map(comes_and_perhaps_goes, guests))
    async with asyncio.timeout(10):
        await at_once(*(take(talk, guest) for guest in guests))

    assert await stand(talk) == (SEATS, 30 - SEATS)
    assert await is_whole()


async def test_a_wait_that_is_too_long_is_unavailable_and_nothing_is_done(impatient: Settings) -> None:
    line = Line()
    async with every_turn_taken():
        begun = time.perf_counter()
        await line.joins(0)
        with pytest.raises(Unavailable) as refused:
            await line.tasks[0]
        took = time.perf_counter() - begun
        waited = turns.waiting()

    assert refused.value.retry_after == 1
    assert impatient.database_wait_seconds <= took < impatient.database_wait_seconds + 1
    assert waited == 0
    assert line.came == []
    assert await is_whole()


@on_postgresql
async def test_turn_and_connection_together_are_waited_for_within_the_bound(impatient: Settings) -> None:
    client: Any = Tortoise.get_connection("default")
    line = Line()
    async with every_turn_taken() as stays, AsyncExitStack() as hogs:
        for _ in range(client.most_connections - len(stays)):
            await hogs.enter_async_context(client.acquire_connection())
        begun = time.perf_counter()
        await line.joins(0)
        await asyncio.sleep(0.8 * impatient.database_wait_seconds)
        last = asyncio.ensure_future(hogs.enter_async_context(client.acquire_connection()))
        await asyncio.sleep(0)
        await stays[0].end()  # whose connection is the last hog's, and whose turn is the waiter's
        await last
        with pytest.raises(Unavailable):
            await line.tasks[0]
        took = time.perf_counter() - begun

    assert took < 1.5 * impatient.database_wait_seconds
    assert line.came == []
    assert await is_whole()
