import pytest

import models
from tests.people import PASSWORD, Person

ME = "{ me { email username profile { username } } }"


async def test_signing_up_signs_in(anybody: Person) -> None:
    payload = (await anybody.signs_up()).data["signup"]

    assert payload["tokenType"] == "Bearer"
    assert payload["expiresAt"].endswith("Z")
    assert payload["account"]["email"] == anybody.email
    assert (await anybody.asks(ME)).data["me"]["profile"] == {"username": anybody.username}


@pytest.mark.parametrize("again", ["ana@test.com", "ANA@Test.Com", "ａｎａ@test.com"])
async def test_an_email_is_taken_in_any_spelling(ana: Person, anybody: Person, again: str) -> None:
    assert (await anybody.signs_up(email=again)).code == "EMAIL_TAKEN"


@pytest.mark.parametrize("again", ["ana", "ANA", "ＡＮＡ", " ana "])
async def test_a_username_is_taken_in_any_spelling(ana: Person, anybody: Person, again: str) -> None:
    assert (await anybody.signs_up(username=again)).code == "USERNAME_TAKEN"


async def test_everything_wrong_with_a_signup_is_told_at_once(anybody: Person) -> None:
    refused = await anybody.signs_up(email="nobody", password="short", username="\u200b")

    assert refused.fields.keys() == {"email", "password", "username"}


@pytest.mark.parametrize("weak", ["1234567", "password1", "PASSWORD1", "somebody@test.com", "Somebody1", "x" * 257])
async def test_a_weak_password_is_refused(anybody: Person, weak: str) -> None:
    refused = await anybody.signs_up(email="somebody@test.com", username="somebody1", password=weak)

    assert refused.fields.keys() == {"password"}
    assert weak not in refused.response.text


async def test_any_long_password_will_do(anybody: Person) -> None:
    assert (await anybody.signs_up(password="ㅋ" * 256)).code is None
    assert (await anybody.signs_in(password="ㅋ" * 256)).code is None
    # bcrypt alone would have stopped at byte 72.
    assert (await anybody.signs_in(password="ㅋ" * 255 + "ㅎ")).code == "INVALID_CREDENTIALS"


async def test_a_password_is_the_same_in_both_unicode_forms(anybody: Person) -> None:
    await anybody.signs_up(password="caf\u00e9-latte")

    assert (await anybody.signs_in(password="cafe\u0301-latte")).code is None


async def test_a_wrong_password_and_a_wrong_email_look_alike(ana: Person) -> None:
    wrong_password = await ana.signs_in(password="not this one")
    wrong_email = await ana.signs_in(email="nobody@test.com")
    strange = await ana.signs_in(email="nobody\0@test.com", password="\0" * 300)

    assert wrong_password.code == "INVALID_CREDENTIALS"
    assert wrong_password.body == wrong_email.body == strange.body


async def test_no_password_and_no_refresh_token_is_stored(ana: Person) -> None:
    refresh_token = (await ana.signs_in()).data["signin"]["refreshToken"]
    stored = await everything_stored()

    assert "ana@test.com" in stored
    assert PASSWORD not in stored
    assert refresh_token not in stored


async def test_nobody_is_signed_in_without_a_good_token(ana: Person) -> None:
    for header in (None, "Bearer xyz", "Bearer", "Basic YTpi", f"Bearer {ana.token}x"):
        ana_without = Person(ana.http)
        assert (await ana_without.asks(ME, authorization=header)).data == {"me": None}


async def test_a_bad_token_does_not_keep_anybody_from_signing_in(ana: Person) -> None:
    ana.token = "xyz"

    assert (await ana.signs_in()).code is None


async def test_the_token_of_a_deleted_account_is_revoked(ana: Person) -> None:
    await models.User.filter(username="ana").delete()

    assert (await ana.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await ana.asks(ME)).data == {"me": None}


async def test_an_older_hash_is_upgraded_at_sign_in(ana: Person) -> None:
    from passlib.hash import bcrypt

    await models.User.filter(username="ana").update(password_hash=bcrypt.using(rounds=4).hash(PASSWORD))

    assert (await ana.signs_in()).code is None
    assert (await models.User.get(username="ana")).password_hash.startswith("$bcrypt-sha256$")
    assert (await ana.signs_in()).code is None


async def everything_stored() -> str:
    rows = [*await models.User.all().values(), *await models.Session.all().values()]
    return repr(rows)
