"""Who has an account is not told by words, codes or time; but for signing up, where it is meant (SECURITY.md)."""

import time
from statistics import median

import httpx
import pytest

from tests.attacks.conftest import WRONG, on_sqlite
from tests.people import SIGNIN, Person

REFRESH = "mutation ($t: String!) { refresh(refreshToken: $t) { accessToken } }"
TIMED = 12  # of each kind


async def test_an_account_and_none_are_refused_in_the_same_words(ana: Person, http: httpx.AsyncClient) -> None:
    answers = []
    for email in ("ana@test.com", "ANA@Test.com", "nobody@test.com", "no e-mail", "", "x" * 10_000, "ana@test.com\0"):
        asked = {"query": SIGNIN, "variables": {"input": {"email": email, "password": WRONG}}}
        answers.append(await http.post("/graphql", json=asked))

    assert len({answer.text for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {200}
    own = {"x-request-id", "date"}
    assert len({str(sorted((k, v) for k, v in answer.headers.items() if k not in own)) for answer in answers}) == 1
    assert answers[0].json()["errors"][0]["extensions"] == {"code": "INVALID_CREDENTIALS"}


@on_sqlite
@pytest.mark.parametrize("password", [WRONG, "\0", "x" * 5_000], ids=["wrong", "NUL", "too long"])
async def test_an_account_and_none_are_refused_in_the_same_time(ana: Person, password: str) -> None:
    """By how often one takes longer than the other: half of all pairs, were they the same. Without the hash for an
    account that there is not, it would be all of them."""
    times: dict[str, list[float]] = {"ana@test.com": [], "nobody@test.com": []}
    for turn in range(TIMED):
        for email in sorted(times, reverse=bool(turn % 2)):
            begun = time.perf_counter()
            assert (await ana.signs_in(email=email, password=password)).code == "INVALID_CREDENTIALS"
            times[email].append(time.perf_counter() - begun)

    known, unknown = times.values()
    longer = sum(a > b for a in known for b in unknown) / TIMED**2
    assert 0.1 < longer < 0.9, (median(known), median(unknown))


async def test_a_token_does_not_tell_whether_its_account_was_ever_there(anybody: Person) -> None:
    first = (await anybody.signs_up()).data["signup"]["refreshToken"]
    await anybody.asks("mutation { signout { sessionsEnded } }")

    ended, made_up = [await anybody.asks(REFRESH, t=token) for token in (first, f"{first[:-4]}AAAA")]

    assert ended.body == made_up.body
    assert ended.code == "TOKEN_INVALID"


async def test_signing_up_tells_that_an_email_is_taken_and_nothing_of_whose(ana: Person, anybody: Person) -> None:
    """Meant: this server sends no mail that could tell its owner instead. How often one may ask is bounded."""
    answer = await anybody.signs_up(email="Ana@TEST.com")

    assert answer.code == "EMAIL_TAKEN"
    assert "ana" not in answer.errors[0]["message"].casefold()
    assert answer.errors[0]["extensions"] == {"code": "EMAIL_TAKEN"}


async def test_a_wrong_password_tells_the_signed_in_no_more(ana: Person) -> None:
    change = "mutation ($p: String!, $n: String!) {{ {0} }}"
    document = change.format("changePassword(input: {currentPassword: $p, newPassword: $n}) { expiresAt }")

    for new in (WRONG + "1", "short"):  # whether the new one is good is told after the old one was right
        assert (await ana.asks(document, p=WRONG, n=new)).code == "INVALID_CREDENTIALS"


async def test_there_is_no_account_from_the_start(anybody: Person) -> None:
    for name in ("admin", "root", "sa", "test", "guest", "planner", "postgres"):
        answer = await anybody.asks("query ($u: String!) { user(username: $u) { id } }", u=name)
        assert answer.data == {"user": None}
        for email in (name, f"{name}@localhost", f"{name}@example.org"):
            if name in {"admin", "root"}:  # a hash each
                assert (await anybody.signs_in(email=email, password=name)).code == "INVALID_CREDENTIALS"
