import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from auth import Accounts
from auth.account import email_key
from errors import EmailTaken, InvalidCredentials, Refusal, TokenRevoked
from models.text import Unfit, fold
from settings import Settings
from tests.conftest import settings_of
from tests.people import PASSWORD, Person

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
SPELLINGS = [
    "ana@bücher.example",
    "Ana@BÜCHER.example",
    "ana@xn--bcher-kva.example",
    "ANA@XN--BCHER-KVA.EXAMPLE",
    "ana@bu\u0308cher.example",
    "ａｎａ@bücher.example",
    "ana@bücher。example",
    "  ana@bücher.example ",
]


@pytest.mark.parametrize("kept", SPELLINGS)
def test_all_spellings_of_an_email_have_one_key(kept: str) -> None:
    assert email_key(kept) == "ana@bücher.example"


@pytest.mark.parametrize("kept", [SPELLINGS[0], SPELLINGS[2]])
async def test_an_account_is_found_in_any_spelling_of_its_email(anybody: Person, kept: str) -> None:
    assert (await anybody.signs_up(email=kept)).code is None

    for spelling in SPELLINGS:
        assert (await anybody.signs_in(email=spelling)).code is None
        assert (await Person(anybody.http).signs_up(email=spelling)).code == "EMAIL_TAKEN"


@given(st.emails() | st.text(max_size=20).map(lambda name: f"{name}@bücher.example"))
def test_a_key_is_folded_whole_and_fits_its_column(email: str) -> None:
    try:
        key = email_key(email)
    except Unfit:
        return
    assert fold(key) == key
    assert len(key) <= 254


IMPOSSIBLE = [
    "",
    " ",
    "ana",
    "@test.com",
    "ana@",
    "ana@localhost",
    "ana@[127.0.0.1]",
    "Ana <ana@test.com>",
    '"ana"@test.com',
    "ana@test.com, ben@test.com",
    "ana\n@test.com",
    "ana@test.com\r\nBcc: all@test.com",
    "ana\0@test.com",
    "\ud83e@test.com",
    "ﷺ" * 60 + "@test.com",  # 69 characters that fold into 1,089
    "a" * 250 + "@test.com",
    "a\u0301\u0323" * 100_000 + "@test.com",
    "a@" + "b" * 1_000_000 + ".com",
    "ana@xn--\u00fc.example",
]


@pytest.mark.parametrize("email", IMPOSSIBLE, ids=lambda email: ascii(email[:12]))
async def test_what_is_no_email_is_told_at_sign_up_and_unknown_at_sign_in(settings: Settings, email: str) -> None:
    accounts = Accounts(settings)
    await models.open_database(settings)
    try:
        begun = time.perf_counter()
        with pytest.raises(Refusal) as sign_up:
            await accounts.sign_up(email, PASSWORD, "ana", now=NOW)
        with pytest.raises(InvalidCredentials):
            await accounts.sign_in(email, PASSWORD, now=NOW)
        taken = time.perf_counter() - begun
    finally:
        await models.close_database()
        accounts.passwords.close()

    assert sign_up.value.extensions["fields"].keys() == {"email"}
    assert len(str(sign_up.value)) < 500
    assert taken < 1  # whatever its length


@pytest.mark.parametrize(
    "unseen",
    [
        "\u3164",
        "\u2800",
        "\u115f\u1160",
        "ana\ufe0f",
        "ana\u034f",
        "a\U000e0101na",
        "ana\u200d",
        "an\u00ada",
        "\u202eana",
    ],
    ids=ascii,
)
async def test_a_username_is_all_seen(anybody: Person, unseen: str) -> None:
    """Else somebody could look like somebody else."""
    assert (await anybody.signs_up(username=unseen)).fields.keys() == {"username"}


@pytest.mark.parametrize("username", ["안나", "O'Brien-Müller", "ana b", "آنا", "🦊", "x" * 50, "ΐ" * 50])
async def test_a_username_may_be_in_any_script(anybody: Person, username: str) -> None:
    assert (await anybody.signs_up(username=username)).data["signup"]["account"]["username"] == username


async def test_the_email_is_no_password_in_any_spelling(anybody: Person) -> None:
    for password in SPELLINGS[:3]:
        assert (await anybody.signs_up(email=SPELLINGS[2], password=password)).fields.keys() == {"password"}


async def test_of_many_who_sign_up_at_once_one_has_the_name(database: Settings) -> None:
    """Each of them finds the e-mail free before the first is stored."""
    accounts = Accounts(database)
    ended = await asyncio.gather(
        *(accounts.sign_up("ana@test.com", PASSWORD, "ana", now=NOW) for _ in range(8)), return_exceptions=True
    )
    accounts.passwords.close()

    assert sum(isinstance(one, tuple) for one in ended) == 1
    assert [type(one) for one in ended if not isinstance(one, tuple)] == [EmailTaken] * 7
    assert await models.User.all().count() == await models.Session.all().count() == 1


class DeletedMeanwhile:
    """Stands for `accounts.passwords`: while it verifies, the account is deleted, or gets another password."""

    def __init__(self, accounts: Accounts, **changes: str) -> None:
        self._passwords, self._changes = accounts.passwords, changes

    async def verify(self, password: str, hashed: str | None, asker: str) -> tuple[bool, str | None]:
        answer = await self._passwords.verify(password, hashed, asker)
        if self._changes:
            await models.User.all().update(**self._changes)
        else:
            await models.User.all().delete()
        return answer


async def test_an_account_deleted_while_its_password_is_verified_is_unknown(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = Accounts(database)
    await accounts.sign_up("ana@test.com", PASSWORD, "ana", now=NOW)
    passwords = accounts.passwords
    monkeypatch.setattr(accounts, "passwords", DeletedMeanwhile(accounts))

    with pytest.raises(InvalidCredentials):
        await accounts.sign_in("ana@test.com", PASSWORD, now=NOW)
    passwords.close()


async def test_an_upgraded_hash_does_not_undo_a_new_password(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = Accounts(database)
    await accounts.sign_up("ana@test.com", PASSWORD, "ana", now=NOW)
    passwords = Accounts(settings_of(database.database_url, bcrypt_cost=5)).passwords  # so that the hash is made anew
    accounts.passwords.close()
    monkeypatch.setattr(accounts, "passwords", passwords)
    monkeypatch.setattr(accounts, "passwords", DeletedMeanwhile(accounts, password_hash="changed meanwhile"))

    with pytest.raises(InvalidCredentials):  # it was right when it was verified, and is the old one now
        await accounts.sign_in("ana@test.com", PASSWORD, now=NOW)
    passwords.close()

    assert (await models.User.get()).password_hash == "changed meanwhile"
    assert await models.Session.all().count() == 1  # the one that sign-up began


async def test_nothing_of_a_sign_in_shows_in_a_repr(database: Settings) -> None:
    """What is logged is often a repr."""
    accounts = Accounts(database)
    _, tokens = await accounts.sign_up("ana@test.com", PASSWORD, "ana", now=NOW)
    accounts.passwords.close()
    user, session = await models.User.get(), await models.Session.get()

    shown = repr([accounts, accounts.sessions, accounts.passwords, tokens, user, session, database])

    for secret in (
        PASSWORD,
        user.password_hash,
        tokens.access_token,
        tokens.refresh_token,
        session.refresh_hash,
        database.secret_key,
        database.database_url,
    ):
        assert secret not in shown


async def test_a_session_is_of_one_account(database: Settings) -> None:
    """A token that names another's session, or another account in its own, opens nothing."""
    accounts = Accounts(database)
    (ana, of_ana), (ben, of_ben) = [
        await accounts.sign_up(f"{name}@test.com", PASSWORD, name, now=NOW) for name in ("ana", "ben")
    ]
    accounts.passwords.close()
    sessions = accounts.sessions
    claims = [sessions.access_tokens.verify(tokens.access_token, NOW) for tokens in (of_ana, of_ben)]

    assert await sessions.viewer(claims[0], NOW) == ana
    with pytest.raises(TokenRevoked):
        await sessions.viewer(replace(claims[0], session_id=claims[1].session_id), NOW)
    assert ben.id != ana.id
