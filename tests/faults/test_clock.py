"""The clock of a server is wrong, or is set while it runs."""

import asyncio
import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import perf_counter

import pytest

from settings import Settings
from tests.faults.conftest import MakeWatched
from tests.faults.events import CREATE
from tests.faults.load import RECOVERS_SECONDS, Load
from tests.faults.servers import Watched, within
from tests.people import SIGNIN, Answer, Person

REFRESH = "mutation ($token: String!) { refresh(refreshToken: $token) { accessToken refreshToken } }"
LEEWAY = timedelta(seconds=30)
GUESSES = 3  # a minute at one account, of 12 an hour


class Clock:
    """A server's, which a test moves."""

    def __init__(self, file: Path) -> None:
        self.environment = {
            "MOVED_CLOCK": str(file),
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent / "moved_clock"), os.environ.get("PYTHONPATH", "")]
            ),
        }
        self._file, self._moved = file, timedelta()
        self.moves(timedelta())

    def moves(self, by: timedelta) -> None:
        self._moved += by
        new = self._file.with_suffix(".new")
        new.write_text(str(self._moved.total_seconds()))
        new.replace(self._file)  # never half written, for who reads it meanwhile


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


@pytest.fixture
async def server(make_watched: MakeWatched, clock: Clock) -> Watched:
    watched = make_watched(**clock.environment, ACCOUNT_GUESSES_PER_HOUR=str(GUESSES * 4))
    await watched.start()
    return watched


async def create(person: Person, key: str) -> Answer:
    said = {"title": "A talk", "description": "", "location": "", "tags": [], "idempotencyKey": key}
    return await person.asks(CREATE, input=said)


async def test_a_clock_that_jumps_ahead_ends_what_has_a_time(server: Watched, clock: Clock) -> None:
    """In the order of the lives: a rate's minute, an access token, an idempotency key, a session."""
    async with server.http() as http:
        ana = Person(http, "ana")
        tokens = (await ana.signs_up()).data["signup"]
        first = (await create(ana, "key")).data["createEvent"]["id"]
        wrong = [(await Person(http, "ana").signs_in(password="wrong-말-9")).code for _ in range(GUESSES + 1)]
        assert wrong == ["INVALID_CREDENTIALS"] * GUESSES + ["RATE_LIMITED"]

        clock.moves(timedelta(minutes=1, seconds=1))
        assert (await Person(http, "ana").signs_in(password="wrong-말-9")).code == "INVALID_CREDENTIALS"

        clock.moves(timedelta(minutes=15) - timedelta(minutes=1))
        assert (await create(ana, "key")).code is None  # over, but for what clocks may differ
        clock.moves(LEEWAY)
        assert (await create(ana, "key")).code == "TOKEN_EXPIRED"
        tokens = (await ana.asks(REFRESH, authorization="", token=tokens["refreshToken"])).data["refresh"]
        ana.token = tokens["accessToken"]
        assert (await create(ana, "key")).data["createEvent"]["id"] == first

        clock.moves(timedelta(hours=24))
        tokens = (await ana.asks(REFRESH, authorization="", token=tokens["refreshToken"])).data["refresh"]
        ana.token = tokens["accessToken"]
        assert (await create(ana, "key")).data["createEvent"]["id"] != first

        clock.moves(timedelta(days=14, seconds=1))
        assert (await ana.asks(REFRESH, authorization="", token=tokens["refreshToken"])).code == "TOKEN_EXPIRED"
        assert (await ana.signs_in()).code is None
        assert (await create(ana, "key")).code is None
        assert await server.is_ready()
    assert (await server.metrics()).value("planner_attempts_refused_total", kind="signin") == 1
    assert "Traceback" not in server.log.read_text()


async def test_a_clock_that_is_set_back_forgives_nothing_and_breaks_nothing(server: Watched, clock: Clock) -> None:
    async with server.http() as http:
        ana = Person(http, "ana")
        old = (await ana.signs_up()).data["signup"]
        assert (await create(ana, "key")).code is None
        before = (await ana.asks("{ events { nodes { id } } }")).data["events"]["nodes"]
        wrong = [(await Person(http, "ana").signs_in(password="wrong-말-9")).code for _ in range(GUESSES + 1)]

        clock.moves(timedelta(hours=-1))

        limited = await Person(http, "ana").signs_in(password="wrong-말-9")
        assert (wrong[-1], limited.code) == ("RATE_LIMITED", "RATE_LIMITED")
        assert limited.errors[0]["extensions"]["retryAfter"] > 3_000  # the window ends when it was to end
        assert (await create(ana, "key")).code == "TOKEN_INVALID"  # it begins later
        assert (await ana.asks(REFRESH, authorization="", token=old["refreshToken"])).code is None
        ana.token = None
        assert (await ana.asks("{ events { nodes { id } } }")).data["events"]["nodes"] == before
        new = Person(http, "new")
        assert (await new.signs_up()).code is None
        assert (await create(new, "key")).code is None
        assert (await create(new, "key")).code is None  # of a time before the one that is there
        both = (await new.asks("{ events { nodes { id creator { username } } } }")).data["events"]["nodes"]
        assert [node["creator"]["username"] for node in both] == ["ana", "new"]
        assert await server.is_ready()
    assert (await server.metrics()).value("planner_attempts_refused_total", kind="signin") == 2
    assert "Traceback" not in server.log.read_text()


async def told(load: Load, code: str, since: float) -> bool:
    """Whether whoever writes is told so."""
    return all(code in load.codes(kind, since=since) for kind in ("create", "seats"))


async def test_what_was_told_is_true_whatever_the_clock_does(server: Watched, clock: Clock, database: Settings) -> None:
    async with server.http() as http:
        load = await Load.of(database, http, writers=1, guests=3, readers=1)
        async with load.running():
            for hours, code in ((1, "TOKEN_EXPIRED"), (-2, "TOKEN_INVALID")):
                clock.moves(timedelta(hours=hours))
                moved = perf_counter()
                await within(RECOVERS_SECONDS, partial(told, load, code, moved))
                assert await server.health() == "ok"  # of the clock `planner doctor` tells
            clock.moves(timedelta(hours=1))
            await load.goes_well()

    assert set(load.codes("read")) == {None}
    assert set(load.errors) == {"TOKEN_EXPIRED", "TOKEN_INVALID"}
    assert await server.errors() == load.errors
    metrics = await server.metrics()
    assert 0 < metrics.value("planner_operation_seconds_sum") < 60 * 60  # as it took, and not as the clock went
    assert metrics.value("planner_loop_lag_seconds_sum") < 60 * 60
    assert await load.faults() == []


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_two_servers_may_differ_by_half_a_minute(
    make_watched: MakeWatched, clock: Clock, database: Settings
) -> None:
    right, ahead = make_watched(), make_watched(**clock.environment)
    await asyncio.gather(right.start(), ahead.start())
    async with right.http() as http, ahead.http() as ahead_http:
        clock.moves(LEEWAY - timedelta(seconds=5))
        load = await Load.of(database, http, ahead_http, writers=1, guests=3, readers=1)
        async with load.running():
            await load.reaches(40)
            assert [await right.health(), await ahead.health()] == ["ok", "ok"]
        assert set(load.codes()) == {None}
        assert await load.faults() == []
        ana = Person(ahead_http, "ana")
        assert (await ana.signs_up()).code is None
        here = Person(http, "ana")
        here.token = ana.token
        assert (await here.tries_to_create()).code is None

        clock.moves(timedelta(seconds=30))
        here.token = (await ana.asks(SIGNIN, input={"email": ana.email, "password": "correct-말-battery-7"})).data[
            "signin"
        ]["accessToken"]
        assert (await here.tries_to_create()).code == "TOKEN_INVALID"
        assert await right.errors() == {"TOKEN_INVALID": 1}
