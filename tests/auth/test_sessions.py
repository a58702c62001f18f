"""Refresh tokens traded, stolen and used twice; sessions that end. All from a script, without GraphQL."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

import models
from auth import Accounts, Tokens, Viewer
from auth.session import GRACE, REUSED
from errors import RefreshTokenInvalid, SessionEnded, SessionExpired, TokenRevoked
from models.session import RefreshToken
from settings import Settings

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
PASSWORD = "correct-말-battery-7"
LATER = GRACE + timedelta(seconds=1)


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
    assert await RefreshToken.all().count() <= 2  # and the table has not grown

    with pytest.raises(SessionEnded):
        await accounts.sessions.refresh(stolen.refresh_token, now)

    assert not await is_signed_in(accounts, thief, now)


async def test_two_tabs_that_trade_one_token_both_stay_signed_in(
    accounts: Accounts, ana: tuple[Viewer, Tokens]
) -> None:
    parent = ana[1].refresh_token

    _, one = await accounts.sessions.refresh(parent, NOW)
    _, other = await accounts.sessions.refresh(parent, NOW + GRACE)

    assert await is_signed_in(accounts, one)
    assert await is_signed_in(accounts, other)
    quarter = NOW + timedelta(minutes=15)
    _, one = await accounts.sessions.refresh(one.refresh_token, quarter)
    _, other = await accounts.sessions.refresh(other.refresh_token, quarter + GRACE)
    assert await is_signed_in(accounts, one, quarter)


async def test_the_grace_cannot_fork_a_family_for_ever(accounts: Accounts, ana: tuple[Viewer, Tokens]) -> None:
    parent = ana[1].refresh_token
    _, owner = await accounts.sessions.refresh(parent, NOW)
    _, thief = await accounts.sessions.refresh(parent, NOW + timedelta(seconds=1))
    then = NOW + timedelta(minutes=15)
    _, thief = await accounts.sessions.refresh(thief.refresh_token, then)

    with pytest.raises(SessionEnded):
        await accounts.sessions.refresh(owner.refresh_token, then + LATER)

    assert not await is_signed_in(accounts, thief, then)


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
