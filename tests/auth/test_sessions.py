"""Refresh tokens traded, stolen and used twice; sessions that end. All from a script, without GraphQL."""

import asyncio
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from multiprocessing.synchronize import Barrier
from uuid import UUID

import asyncpg
import pytest
from tortoise.transactions import in_transaction

import models
from auth import Accounts, Tokens, Viewer
from auth.session import GRACE, MOST, REUSED, Sessions
from errors import RefreshTokenInvalid, SessionEnded, SessionExpired, TokenRevoked
from models.session import RefreshToken
from settings import Settings
from tests.conftest import settings_of

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
PASSWORD = "correct-말-battery-7"
LATER = GRACE + timedelta(seconds=1)
IN_A_MINUTE = 5  # sign-ins of one account under way


@pytest.fixture
async def accounts(database: Settings) -> AsyncIterator[Accounts]:
    made = Accounts(database)
    yield made
    made.passwords.close()


@pytest.fixture
async def ana(accounts: Accounts) -> tuple[Viewer, Tokens]:
    return await accounts.sign_up("ana@test.com", PASSWORD, "ana", now=NOW)


async def is_signed_in(accounts: Accounts, tokens: Tokens, now: datetime = NOW) -> bool:
    try:
        await accounts.sessions.viewer(accounts.sessions.access_tokens.verify(tokens.access_token, now), now)
    except TokenRevoked:
        return False
    return True


async def test_a_token_is_traded_for_the_next(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    viewer, first = ana

    again, second = await accounts.sessions.refresh(first.refresh_token, NOW + timedelta(hours=1))
    _, third = await accounts.sessions.refresh(second.refresh_token, NOW + timedelta(hours=2))

    assert again == viewer
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert second.expires_at > first.expires_at
    assert await is_signed_in(accounts, third, NOW + timedelta(hours=2))


async def test_only_hashes_are_stored(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    rows = repr([*await models.Session.all().values(), *await RefreshToken.all().values()])

    assert not any(half in rows for half in ana[1].refresh_token.split("."))


async def test_a_token_used_twice_ends_its_session(
    accounts: Accounts, ana: tuple[Viewer, Tokens], caplog: pytest.LogCaptureFixture
) -> None:
    _, first = ana
    _, second = await accounts.sessions.refresh(first.refresh_token, NOW)
    counted = REUSED._value.get()

    with caplog.at_level(logging.WARNING), pytest.raises(SessionEnded):
        await accounts.sessions.refresh(first.refresh_token, NOW + LATER)

    assert not await is_signed_in(accounts, second)
    with pytest.raises(RefreshTokenInvalid):
        await accounts.sessions.refresh(second.refresh_token, NOW + LATER)
    assert REUSED._value.get() == counted + 1
    assert "used twice" in caplog.text
    assert not any(half in caplog.text for half in first.refresh_token.split("."))


async def test_a_thief_who_traded_many_times_is_found_out_by_the_owners_old_token(
    accounts: Accounts, ana: tuple[Viewer, Tokens]
) -> None:
    stolen = ana[1]
    thief, now = stolen, NOW
    for _ in range(20):
        now += timedelta(minutes=15)
        _, thief = await accounts.sessions.refresh(thief.refresh_token, now)
    assert await RefreshToken.all().count() == 2  # and the table has not grown

    with pytest.raises(SessionEnded):
        await accounts.sessions.refresh(stolen.refresh_token, now)

    assert not await is_signed_in(accounts, thief, now)


async def test_two_tabs_that_share_what_they_keep_stay_signed_in(
    accounts: Accounts, ana: tuple[Viewer, Tokens]
) -> None:
    """Both trade what is kept there; whichever answer comes last is kept from then on."""
    kept, now = ana[1], NOW
    for turn in range(20):
        answers = [await accounts.sessions.refresh(kept.refresh_token, now + later) for later in (timedelta(0), GRACE)]
        assert [await is_signed_in(accounts, tokens, now + GRACE) for _, tokens in answers] == [True, True]
        _, kept = answers[turn % 2]
        now += timedelta(minutes=15)


async def test_a_client_whose_every_answer_gets_lost_at_first_stays_signed_in(
    accounts: Accounts, ana: tuple[Viewer, Tokens]
) -> None:
    kept, now = ana[1], NOW
    for _ in range(20):
        await accounts.sessions.refresh(kept.refresh_token, now)
        _, kept = await accounts.sessions.refresh(kept.refresh_token, now + timedelta(seconds=5))
        now += timedelta(minutes=15)

    assert await is_signed_in(accounts, kept, now)


async def test_of_two_tabs_that_each_keep_a_sibling_the_second_ends_the_session(
    accounts: Accounts, ana: tuple[Viewer, Tokens]
) -> None:
    """The price: they look like an owner and a thief."""
    _, one = await accounts.sessions.refresh(ana[1].refresh_token, NOW)
    _, other = await accounts.sessions.refresh(ana[1].refresh_token, NOW)
    _, one = await accounts.sessions.refresh(one.refresh_token, NOW + LATER)

    with pytest.raises(SessionEnded):
        await accounts.sessions.refresh(other.refresh_token, NOW + LATER)

    assert not await is_signed_in(accounts, one)


@pytest.mark.parametrize("goes_first", ["the owner", "the thief", "one, then the other"])
async def test_a_thief_who_used_the_grace_once_cannot_follow_the_family(
    accounts: Accounts, ana: tuple[Viewer, Tokens], goes_first: str
) -> None:
    """However near to each of the owner's trades the thief's are, for 200 turns: at the first, they are found out."""
    _, owner = await accounts.sessions.refresh(ana[1].refresh_token, NOW)
    _, thief = await accounts.sessions.refresh(ana[1].refresh_token, NOW + timedelta(seconds=1))
    hold = {"the owner": owner, "the thief": thief}
    for turn in range(200):
        first = turn % 2 == 0 if goes_first == "one, then the other" else goes_first == "the owner"
        now = NOW + timedelta(minutes=15 * (turn + 1))
        try:
            for who in sorted(hold, reverse=not first):
                now += timedelta(seconds=1)
                _, hold[who] = await accounts.sessions.refresh(hold[who].refresh_token, now)
        except SessionEnded:
            break

    assert turn == 0
    assert [await is_signed_in(accounts, tokens, now) for tokens in hold.values()] == [False, False]


async def test_the_grace_is_for_the_immediate_parent_alone(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    grandparent = ana[1].refresh_token
    _, parent = await accounts.sessions.refresh(grandparent, NOW)
    await accounts.sessions.refresh(parent.refresh_token, NOW)

    with pytest.raises(SessionEnded):
        await accounts.sessions.refresh(grandparent, NOW)


async def test_a_session_left_alone_for_14_days_is_over(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    idle = timedelta(days=14)
    assert ana[1].refresh_expires_at == NOW + idle
    _, second = await accounts.sessions.refresh(ana[1].refresh_token, NOW + idle - timedelta(seconds=1))

    with pytest.raises(SessionExpired):
        await accounts.sessions.refresh(second.refresh_token, second.refresh_expires_at)


async def test_a_session_of_30_days_is_over_however_it_is_used(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    now, tokens = NOW, ana[1]
    for _ in range(3):
        now += timedelta(days=9)
        _, tokens = await accounts.sessions.refresh(tokens.refresh_token, now)

    assert tokens.refresh_expires_at == NOW + timedelta(days=30)
    with pytest.raises(SessionExpired):
        await accounts.sessions.refresh(tokens.refresh_token, NOW + timedelta(days=30))


async def test_an_access_token_ends_with_its_session(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    """Though it was issued a minute before, and by its own claims is good for a quarter of an hour."""
    session = await models.Session.get()
    over = session.created_at + timedelta(days=30)
    session.refresh_expires_at = over
    await session.save()

    _, last = await accounts.sessions.refresh(ana[1].refresh_token, over - timedelta(minutes=1))

    assert last.expires_at > over
    assert await is_signed_in(accounts, last, over - timedelta(seconds=1))
    assert not await is_signed_in(accounts, last, over)


async def test_what_is_over_is_cleared_away(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    await accounts.sign_in("ana@test.com", PASSWORD, now=NOW + timedelta(days=15))

    assert await models.Session.all().count() == 1
    assert await RefreshToken.all().count() == 1


@pytest.mark.parametrize("token", ["", ".", "a.", ".b", "a.b", "x" * 101, "é.é", "a" * 22 + "." + "b" * 43, "\0.\0"])
async def test_a_made_up_token_is_invalid_and_ends_nothing(
    accounts: Accounts, ana: tuple[Viewer, Tokens], token: str
) -> None:
    with pytest.raises(RefreshTokenInvalid):
        await accounts.sessions.refresh(token, NOW)
    with pytest.raises(RefreshTokenInvalid):
        await accounts.sessions.refresh(ana[1].access_token[:90], NOW)

    assert await is_signed_in(accounts, ana[1])


async def test_fifty_uses_at_once_trade_once_and_sign_nobody_out(
    accounts: Accounts, ana: tuple[Viewer, Tokens]
) -> None:
    answers = await asyncio.gather(*(accounts.sessions.refresh(ana[1].refresh_token, NOW) for _ in range(50)))

    session = await models.Session.get()
    assert session.generation == 2
    assert len({tokens.refresh_token for _, tokens in answers}) == 50
    assert await RefreshToken.filter(generation=2).count() == 50
    _, last = answers[-1]
    assert (await accounts.sessions.refresh(last.refresh_token, NOW + LATER))[0] == ana[0]
    assert await RefreshToken.all().count() == 2  # the last, and what it was traded for: not its siblings


async def test_of_fifty_late_uses_at_once_one_ends_the_session(
    accounts: Accounts, ana: tuple[Viewer, Tokens], caplog: pytest.LogCaptureFixture
) -> None:
    _, second = await accounts.sessions.refresh(ana[1].refresh_token, NOW)
    counted = REUSED._value.get()

    with caplog.at_level(logging.WARNING):
        ended = await asyncio.gather(
            *(accounts.sessions.refresh(ana[1].refresh_token, NOW + LATER) for _ in range(50)), return_exceptions=True
        )

    assert Counter(type(one) for one in ended) == {SessionEnded: 1, RefreshTokenInvalid: 49}
    assert REUSED._value.get() == counted + 1
    assert caplog.text.count("used twice") == 1
    assert not await is_signed_in(accounts, second)


async def test_fifty_uses_at_once_in_several_processes_end_alike(
    accounts: Accounts, ana: tuple[Viewer, Tokens], database: Settings
) -> None:
    token = ana[1].refresh_token
    with (spawned := multiprocessing.get_context("spawn")).Pool(3, _meet_at, [spawned.Barrier(3)]) as pool:
        uses = [(database.database_url, token, each) for each in (17, 17, 16)]
        in_grace, late = zip(*await asyncio.to_thread(pool.starmap, _use_in_grace_and_late, uses, 1), strict=True)

    assert Counter(chain(*in_grace)) == {"Tokens": 50}
    assert Counter(chain(*late)) == {"SessionEnded": 1, "RefreshTokenInvalid": 49}
    assert await models.Session.all().count() == 0


_all_are_there: Barrier  # in each process of the pool


def _meet_at(barrier: Barrier) -> None:
    global _all_are_there
    _all_are_there = barrier


def _use_in_grace_and_late(url: str, token: str, uses: int) -> list[list[str]]:
    """What each use was answered with."""

    async def use() -> list[list[str]]:
        settings = settings_of(url)
        await models.open_database(settings)
        sessions, told = Sessions(settings), []
        for now in (NOW, NOW + LATER):
            _all_are_there.wait(60)
            at_once = (sessions.refresh(token, now) for _ in range(uses))
            ended = await asyncio.gather(*at_once, return_exceptions=True)
            told.append([type(one[1] if isinstance(one, tuple) else one).__name__ for one in ended])
        await models.close_database()
        return told

    return asyncio.run(use())


async def test_an_account_keeps_the_hundred_sessions_that_were_used_last(
    accounts: Accounts, ana: tuple[Viewer, Tokens]
) -> None:
    """Also where many begin at once; and what its owner uses stays, however old it is."""
    user_id = UUID(ana[0].id)
    await models.Session.filter(user_id=user_id).update(last_used_at=NOW + timedelta(days=1))
    async with in_transaction():
        for minute in range(MOST):
            await accounts.sessions.start(user_id, NOW + timedelta(minutes=minute))
    assert await models.Session.filter(user_id=user_id).count() == MOST
    assert not await models.Session.filter(user_id=user_id, created_at=NOW).exclude(id=ana[0].session_id).exists()
    await accounts.sign_up("ben@test.com", PASSWORD, "ben", now=NOW)

    await asyncio.gather(
        *(accounts.sign_in("ana@test.com", PASSWORD, now=NOW + timedelta(days=1)) for _ in range(IN_A_MINUTE))
    )

    assert await models.Session.filter(user_id=user_id).count() == MOST
    assert await is_signed_in(accounts, ana[1])
    assert await models.Session.all().count() == MOST + 1  # Ben's is none of them

    # Who waited for a hash begins at an earlier moment than the others were used.
    _, late = await accounts.sign_in("ana@test.com", PASSWORD, now=NOW)
    assert await is_signed_in(accounts, late)
    assert await models.Session.filter(user_id=user_id).count() == MOST


async def test_an_ended_session_is_refused_at_once(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    _, elsewhere = await accounts.sign_in("ana@test.com", PASSWORD, now=NOW)

    assert await accounts.sessions.end(ana[0].session_id) == 1
    assert await accounts.sessions.end(ana[0].session_id) == 0

    assert not await is_signed_in(accounts, ana[1])
    assert await is_signed_in(accounts, elsewhere)
    with pytest.raises(RefreshTokenInvalid):
        await accounts.sessions.refresh(ana[1].refresh_token, NOW)


async def test_the_last_use_is_noted_at_most_once_a_minute(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    async def used_at(after: timedelta) -> datetime:
        assert await is_signed_in(accounts, ana[1], NOW + after)
        return (await models.Session.get()).last_used_at

    assert await used_at(timedelta(seconds=59)) == NOW
    assert await used_at(timedelta(seconds=60)) == NOW + timedelta(seconds=60)
    assert await used_at(timedelta(seconds=119)) == NOW + timedelta(seconds=60)


FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {how}; RETURN NEW; END $$;
CREATE TRIGGER fail BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION fail();
"""
FAILING = {
    "its connection ends": FAIL.format(how="PERFORM pg_terminate_backend(pg_backend_pid())"),
    "the database is read-only": FAIL.format(how="RAISE EXCEPTION 'read-only' USING ERRCODE = '25006'"),
}


@pytest.fixture(params=["the row is locked", *FAILING])
async def unnoted(
    request: pytest.FixtureRequest, settings: Settings, ana: tuple[Viewer, Tokens]
) -> AsyncIterator[Tokens]:
    """Those of somebody whose use of the session cannot be noted."""
    other = await asyncpg.connect(settings.database_url)
    if request.param in FAILING:
        await other.execute(FAILING[request.param])
        yield ana[1]
        await other.execute("DROP FUNCTION fail CASCADE")
    else:
        async with other.transaction():
            await other.execute("SELECT 1 FROM sessions FOR UPDATE")
            yield ana[1]
    await other.close()


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_who_reads_neither_waits_nor_fails_where_the_use_cannot_be_noted(
    accounts: Accounts, unnoted: Tokens
) -> None:
    begun = time.perf_counter()

    assert await is_signed_in(accounts, unnoted, NOW + timedelta(seconds=60))
    assert time.perf_counter() - begun < 2
    assert (await models.Session.get()).last_used_at == NOW
