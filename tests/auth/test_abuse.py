"""Who guesses, floods or sprays is held up; who owns the account is not. From a script, with a clock of the tests'."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import models
from auth import Accounts, Client, Tokens, Viewer
from auth.audit import LINES_A_MINUTE
from errors import InvalidCredentials, RateLimited, Refusal, Unavailable
from models.reads import query
from replicas.limits import Memory, Rates
from settings import Settings

PASSWORD = "correct-말-battery-7"
HOME, OFFICE, CAFE = Client("203.0.113.5", "a browser"), Client("203.0.113.6"), Client("2001:db8:1:2::/64")
A_MINUTE, AN_HOUR, A_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
IN_A_MINUTE, IN_AN_HOUR, IN_A_DAY = 5, 20, 60  # wrong passwords for one account
AT_AN_ADDRESS, SIGN_UPS = 25, 15  # in a minute
RIGHT_ONES = 250


class World:
    """An open database, accounts, their memory of what was tried, and the time."""

    def __init__(self, settings: Settings) -> None:
        self.now = datetime(2026, 12, 1, 10, tzinfo=UTC)
        self.memory = Memory(self._seconds)
        self.accounts = Accounts(settings, Rates(self.memory, self._seconds))
        self.hashed = 0
        self._verify, self.accounts.passwords.verify = self.accounts.passwords.verify, self._counting  # type: ignore[method-assign]

    def _seconds(self) -> float:
        return self.now.timestamp()

    async def _counting(self, password: str, hashed: str | None, asker: str = "") -> tuple[bool, str | None]:
        self.hashed += 1
        return await self._verify(password, hashed, asker)

    async def signs_up(self, name: str, client: Client) -> tuple[Viewer, Tokens]:
        return await self.accounts.sign_up(f"{name}@test.com", PASSWORD, name, now=self.now, client=client)

    async def signs_in(self, name: str, client: Client, password: str = PASSWORD) -> str:
        """What it ends in."""
        return await outcome(self.accounts.sign_in(f"{name}@test.com", password, now=self.now, client=client))

    async def guesses(self, name: str, client: Client) -> str:
        return await self.signs_in(name, client, "not this one")

    async def holds_up(self, name: str, client: Client) -> int:
        """Guesses until one is refused: how many were verified."""
        for verified in range(10_000):
            if await self.guesses(name, client) == "RateLimited":
                return verified
        raise AssertionError("no guess was refused")


async def outcome(doing: Awaitable[Any]) -> str:
    try:
        await doing
    except Refusal as refused:
        return type(refused).__name__
    return "done"


def address(number: int) -> Client:
    return Client(f"198.51.{number // 250}.{number % 250}")


@pytest.fixture
async def world(database: Settings) -> AsyncIterator[World]:
    made = World(database)
    yield made
    made.accounts.passwords.close()


@pytest.fixture
async def ana(world: World) -> tuple[Viewer, Tokens]:
    return await world.signs_up("ana", HOME)


async def test_a_thousand_guesses_from_two_hundred_addresses_do_not_keep_the_owner_out(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    guesses = Counter([await world.guesses("ana", address(number % 200)) for number in range(1000)])

    assert guesses == {"InvalidCredentials": IN_A_MINUTE, "RateLimited": 1000 - IN_A_MINUTE}
    assert world.hashed == IN_A_MINUTE  # those refused cost no hash
    assert await world.signs_in("ana", HOME) == "done"
    assert await world.signs_in("ana", OFFICE) == "RateLimited"  # the price: nobody has signed in from there
    world.now += A_MINUTE
    assert await world.signs_in("ana", OFFICE) == "done"
    assert await world.signs_in("ana", OFFICE) == "done"


async def test_one_account_is_guessed_at_no_oftener_however_many_guess(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    in_hours = []
    for _ in range(24):
        before = world.hashed
        for quarter in range(4):
            for number in range(8):
                await world.guesses("ana", address(10 * quarter + number))
            world.now += AN_HOUR / 4
        in_hours.append(world.hashed - before)

    assert max(in_hours) == IN_AN_HOUR
    assert sum(in_hours) == IN_A_DAY


async def test_one_address_that_tries_a_password_at_many_accounts_is_held_up(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    async def sprays() -> int:
        before = world.hashed
        for number in range(200):
            await world.guesses(f"somebody{number}", OFFICE)
        return world.hashed - before

    assert await sprays() == AT_AN_ADDRESS
    assert await world.signs_in("ana", OFFICE) == "RateLimited"
    assert await world.signs_in("ana", HOME) == "done"
    world.now += A_MINUTE
    assert await sprays() == AT_AN_ADDRESS


@pytest.mark.parametrize("ours", [CAFE, Client(None)], ids=["over the net", "a script"])
async def test_an_account_that_there_is_and_one_that_there_is_not_are_refused_alike(
    world: World, ana: tuple[Viewer, Tokens], ours: Client
) -> None:
    async def told(name: str) -> list[tuple[str, Any]]:
        said = []
        for _ in range(10):
            with pytest.raises((InvalidCredentials, RateLimited)) as refused:
                await world.accounts.sign_in(f"{name}@test.com", "not this one", now=world.now, client=ours)
            said.append((str(refused.value), refused.value.extensions))
        return said

    known, unknown = await told("ana"), await told("nobody")

    assert known == unknown
    assert known[-1] == ("Too many tries. Try again in 60 s.", {"code": "RATE_LIMITED", "retryAfter": 60})
    assert world.hashed == 2 * IN_A_MINUTE


async def test_a_spelling_of_the_email_is_no_other_account(world: World, ana: tuple[Viewer, Tokens]) -> None:
    await world.holds_up("ana", OFFICE)

    assert await world.guesses("ANA", CAFE) == "RateLimited"
    assert await world.guesses("ａｎａ", CAFE) == "RateLimited"
    assert await world.guesses("no e-mail at all \ud800", CAFE) == "InvalidCredentials"


async def test_a_hundred_guesses_at_once_are_counted_before_any_is_verified(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    ended = Counter(await asyncio.gather(*(world.guesses("ana", OFFICE) for _ in range(100))))

    assert ended == {"InvalidCredentials": IN_A_MINUTE, "RateLimited": 100 - IN_A_MINUTE}


async def test_right_passwords_are_no_guesses_and_clear_nothing_but_the_owners_own(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    await world.signs_up("mallory", OFFICE)
    for _ in range(50):
        assert await world.signs_in("ana", HOME) == "done"
    for _ in range(IN_A_MINUTE - 1):
        assert await world.guesses("ana", HOME) == "InvalidCredentials"
    assert await world.signs_in("ana", HOME) == "done"
    assert await world.holds_up("ana", HOME) == IN_A_MINUTE  # those before are forgotten

    verified = 0
    for number in range(200):
        verified += await world.guesses(f"somebody{number}", OFFICE) == "InvalidCredentials"
        await world.signs_in("mallory", OFFICE)  # wins nothing by it

    assert verified == AT_AN_ADDRESS


async def test_a_place_is_known_for_30_days_whatever_becomes_of_its_sessions(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    await world.accounts.sessions.end_all(ana[0].id)
    await world.signs_up("ben", CAFE)

    world.now += timedelta(days=30) - timedelta(seconds=1)
    await world.holds_up("ana", OFFICE)
    assert await world.signs_in("ana", HOME) == "done"
    assert await world.signs_in("ana", CAFE) == "RateLimited"  # known to Ben alone
    world.now += timedelta(days=30)
    await world.holds_up("ana", OFFICE)
    assert await world.signs_in("ana", HOME) == "RateLimited"


async def test_places_are_kept_as_hashes_twenty_an_account_until_it_goes(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    for number in range(30):
        world.now += A_MINUTE
        assert await world.signs_in("ana", address(number)) == "done"

    places = await models.KnownPlace.all().order_by("seen_at")

    assert len(places) == 20
    assert places[-1].seen_at == world.now
    shown = repr([await query("SELECT * FROM known_places", []), world.memory._kinds])
    assert not any(open_text in shown for open_text in ("198.51.", "203.0.113", "ana", "test.com"))
    await world.accounts.delete_account(ana[0], PASSWORD, now=world.now)
    assert await models.KnownPlace.all().count() == 0


async def test_many_sign_ins_at_once_from_new_places_hinder_none(world: World, ana: tuple[Viewer, Tokens]) -> None:
    places = [address(number) for number in range(IN_A_MINUTE)]
    for _ in range(8):
        ended = await asyncio.gather(*(world.signs_in("ana", place) for place in [*places, *places, HOME, HOME]))
        # More at once than there may be guesses: some are told to wait, since nobody knows yet that all are right.
        assert set(ended) <= {"done", "RateLimited"}
        world.now += A_DAY

    assert [await world.signs_in("ana", place) for place in [*places, HOME]] == ["done"] * (IN_A_MINUTE + 1)


async def test_sign_ups_from_one_address_are_bounded(world: World) -> None:
    ended = [await outcome(world.signs_up(f"user{number}", OFFICE)) for number in range(30)]

    assert ended == ["done"] * SIGN_UPS + ["RateLimited"] * 15
    assert await outcome(world.signs_up("ana", HOME)) == "done"
    world.now += A_MINUTE
    assert await outcome(world.signs_up("ana", OFFICE)) == "EmailTaken"
    wrong = world.accounts.sign_up("no e-mail", "short", "x", now=world.now, client=OFFICE)
    assert await outcome(wrong) == "ValidationFailed"  # is not counted
    more = [await outcome(world.signs_up("ana", OFFICE)) for _ in range(SIGN_UPS)]
    assert more == ["EmailTaken"] * (SIGN_UPS - 1) + ["RateLimited"]  # so that e-mails are not asked for in bulk


async def test_sign_ups_from_one_network_of_ipv6_are_bounded(world: World, ana: tuple[Viewer, Tokens]) -> None:
    asked = [outcome(world.signs_up("ana", Client(f"2001:db8:1:{n:x}::/64"))) for n in range(10 * SIGN_UPS + 5)]

    assert [await one for one in asked] == ["EmailTaken"] * 10 * SIGN_UPS + ["RateLimited"] * 5


@pytest.mark.parametrize("field", ["change_password", "delete_account"])
async def test_who_has_stolen_a_token_cannot_guess_the_password_for_long(
    world: World, ana: tuple[Viewer, Tokens], field: str
) -> None:
    doing: dict[str, Callable[[Viewer, str], Awaitable[Any]]] = {
        "change_password": lambda viewer, password: world.accounts.change_password(
            viewer, password, "another-말-battery-8", now=world.now
        ),
        "delete_account": lambda viewer, password: world.accounts.delete_account(viewer, password, now=world.now),
    }
    ended = [await outcome(doing[field](ana[0], f"guess {number}")) for number in range(10)]
    assert ended == ["InvalidCredentials"] * IN_A_MINUTE + ["RateLimited"] * 5
    assert await outcome(doing[field](ana[0], PASSWORD)) == "RateLimited"

    owner, _ = await world.accounts.sign_in("ana@test.com", PASSWORD, now=world.now, client=HOME)

    assert await outcome(doing[field](owner, PASSWORD)) == "done"


async def test_a_flood_of_made_up_refresh_tokens_is_held_up_and_good_ones_are_not(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    tokens = ana[1]
    for _ in range(300):
        _, tokens = await world.accounts.refresh(tokens.refresh_token, now=world.now, client=HOME)
    made_up = [
        await outcome(world.accounts.refresh(f"made.{number}", now=world.now, client=OFFICE)) for number in range(300)
    ]

    assert Counter(made_up) == {"RefreshTokenInvalid": 10 * AT_AN_ADDRESS, "RateLimited": 50}
    assert await outcome(world.accounts.refresh(tokens.refresh_token, now=world.now, client=HOME)) == "done"


async def test_what_was_not_verified_is_not_counted(
    world: World, ana: tuple[Viewer, Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(password: str, hashed: str | None, asker: str) -> tuple[bool, str | None]:
        raise Unavailable("Too many people are signing in.", retry_after=1)

    with monkeypatch.context() as queue:
        queue.setattr(world.accounts.passwords, "verify", full)
        assert {await world.guesses("ana", OFFICE) for _ in range(100)} == {"Unavailable"}

    assert await world.holds_up("ana", OFFICE) == IN_A_MINUTE


async def test_a_guess_whose_answer_nobody_awaits_is_counted(
    world: World, ana: tuple[Viewer, Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a client that hangs up in time could have as many hashed as it likes."""

    async def hangs(password: str, hashed: str | None, asker: str) -> tuple[bool, str | None]:
        raise asyncio.CancelledError

    with monkeypatch.context() as hanging:
        hanging.setattr(world.accounts.passwords, "verify", hangs)
        for _ in range(IN_A_MINUTE):
            with pytest.raises(asyncio.CancelledError):
                await world.guesses("ana", OFFICE)

    assert await world.guesses("ana", OFFICE) == "RateLimited"


async def test_right_sign_ins_from_one_address_are_bounded_too(world: World, ana: tuple[Viewer, Tokens]) -> None:
    """Each has a password hashed. Who is at another address goes on."""
    await world.signs_up("mallory", OFFICE)
    world.hashed = 0

    ended = Counter([await world.signs_in("mallory", OFFICE) for _ in range(RIGHT_ONES + 20)])

    assert ended == {"done": RIGHT_ONES, "RateLimited": 20}
    assert world.hashed == RIGHT_ONES
    assert await world.signs_in("mallory", HOME) == "done"
    assert await world.signs_in("ana", HOME) == "done"
    world.now += A_MINUTE
    assert await world.signs_in("mallory", OFFICE) == "done"


async def test_guesses_and_what_was_not_verified_are_no_right_sign_ins(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(database.model_copy(update={"address_guesses_per_hour": 1000}))
    monkeypatch.setattr("auth.attempts.RIGHT_ONES_A_GUESS", 0.04)  # 10 in a minute, 250 guesses
    await world.signs_up("ana", HOME)
    for number in range(50):
        assert await world.guesses(f"somebody{number}", HOME) == "InvalidCredentials"

    assert [await world.signs_in("ana", HOME) for _ in range(11)] == ["done"] * 10 + ["RateLimited"]
    world.accounts.passwords.close()


async def test_a_network_of_ipv6_tries_as_much_as_ten_of_its_addresses(
    world: World, ana: tuple[Viewer, Tokens]
) -> None:
    """Who has signed in from an address there before is not kept out by the others."""

    def of_one_48(number: int) -> Client:
        return Client(f"2001:db8:1:{number:x}::/64")

    assert await world.signs_in("ana", of_one_48(5000)) == "done"
    _, tokens = await world.signs_up("ben", HOME)
    sprayed = Counter([await world.guesses(f"somebody{n}", of_one_48(n)) for n in range(12 * AT_AN_ADDRESS)])

    assert sprayed == {"InvalidCredentials": 10 * AT_AN_ADDRESS, "RateLimited": 2 * AT_AN_ADDRESS}
    assert await world.guesses("somebody", Client("2001:db8:2::/64")) == "InvalidCredentials"
    assert await world.signs_in("ana", of_one_48(5000)) == "done"
    assert await world.signs_in("ben", of_one_48(5000)) == "RateLimited"
    refresh = world.accounts.refresh(tokens.refresh_token, now=world.now, client=of_one_48(5000))
    assert await outcome(refresh) == "done"


async def test_made_up_tokens_from_all_of_a_network_wash_out_no_guess(
    world: World, ana: tuple[Viewer, Tokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.memory, "_most", 1000)
    await world.holds_up("ana", OFFICE)

    for number in range(1000):
        somewhere = Client(f"2001:db8:{number % 500:x}:{number:x}::/64")
        await outcome(world.accounts.refresh("made.up", now=world.now, client=somewhere))

    assert len(world.memory) == 1000
    assert await world.guesses("ana", OFFICE) == "RateLimited"


async def test_two_addresses_with_ten_accounts_do_not_keep_others_from_signing_in(database: Settings) -> None:
    """They have right passwords hashed without a pause; at a cost at which the line is full all the time."""
    world = World(database.model_copy(update={"bcrypt_cost": 8, "bcrypt_queue": 16}))
    names = [f"mallory{number}" for number in range(10)]
    for name in names:
        await world.signs_up(name, HOME)
        for place in (OFFICE, CAFE):
            assert await world.signs_in(name, place) == "done"
    for number in range(13):
        await world.signs_up(f"user{number}", address(number))
    met, is_full = Counter[str](), asyncio.Event()

    async def floods(name: str, place: Client) -> None:
        while True:
            ended = await world.signs_in(name, place)
            met[ended] += 1
            if ended != "done":
                is_full.set()
                await asyncio.sleep(0.01)

    flood = [asyncio.create_task(floods(name, place)) for place in (OFFICE, CAFE) for name in names for _ in "12"]
    async with asyncio.timeout(20):
        await is_full.wait()
    before = met["Unavailable"]
    others = await asyncio.gather(*(world.signs_in(f"user{number}", address(number)) for number in range(13)))
    for one in flood:
        one.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    world.accounts.passwords.close()

    assert others == ["done"] * 13
    assert met["Unavailable"] > before  # those who flood make room


def told(record: logging.LogRecord) -> tuple[str, object]:
    return record.message, vars(record)["facts"]


async def test_tries_that_are_held_up_are_logged_and_a_flood_of_them_in_few_lines(
    world: World, ana: tuple[Viewer, Tokens], caplog: pytest.LogCaptureFixture
) -> None:
    await world.holds_up("ana", OFFICE)
    caplog.set_level("INFO", "planner.audit")
    caplog.clear()

    def lines() -> list[tuple[str, object]]:
        written = [told(record) for record in caplog.records if record.name == "planner.audit"]
        caplog.clear()
        return written

    for number in range(LINES_A_MINUTE + 40):
        for _ in range(3):
            await world.guesses("ana", address(number))
    # One was written before, of the office.
    assert lines() == [("signin_limited", {"address": address(n).address}) for n in range(LINES_A_MINUTE - 1)]

    world.now += A_MINUTE
    await world.holds_up("ana", CAFE)
    assert [(event, facts) for event, facts in lines() if "refused" not in event] == [
        ("left_out", {"tries": 3 * (LINES_A_MINUTE + 40) - (LINES_A_MINUTE - 1)}),
        ("signin_limited", {"address": CAFE.address}),
    ]


async def test_a_sign_in_that_finds_the_line_full_is_logged(
    world: World, ana: tuple[Viewer, Tokens], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "planner.audit")
    caplog.clear()
    world.accounts.passwords._pool._pending = 1000

    assert {await world.signs_in("ana", OFFICE) for _ in range(50)} == {"Unavailable"}

    assert [*map(told, caplog.records)] == [("signin_unavailable", {"address": OFFICE.address})]


async def test_more_may_be_tried_where_the_operator_says_so(database: Settings) -> None:
    world = World(database.model_copy(update={"account_guesses_per_hour": 40, "address_signups_per_hour": 8}))
    assert [await outcome(world.signs_up(name, HOME)) for name in ("ana", "ben", "cem")] == ["done"] * 2 + [
        "RateLimited"
    ]
    assert await world.holds_up("ana", OFFICE) == 10
    world.accounts.passwords.close()
