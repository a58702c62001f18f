import asyncio
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from typing import Any

import bcrypt as bcrypt_library
import pytest
from hypothesis import given
from hypothesis import strategies as st
from passlib.hash import bcrypt, bcrypt_sha256

from auth.passwords import LONGEST, Passwords, weakness
from errors import Unavailable
from tests.conftest import settings_of
from tests.people import PASSWORD

COST = 4


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=COST))
    yield made
    made.close()


def problem(password: str, *own_names: str) -> str | None:
    return weakness(password, shortest=8, own_names=own_names or ("ana@test.com", "ana"))


@pytest.mark.parametrize(
    "good",
    [
        "말없이 걷다 보면",
        "aaaabaaa",
        "with blanks inside",
        "  kept blanks  ",
        "tab\tand\0NUL",
        "🦊🦊🦊🦊🦊🦊🦊🦊",
        "عبارة مرور طويلة",
        "ﷺ" * 14,  # 252 characters, once normalised
        unicodedata.normalize("NFD", "é" * LONGEST),  # 512 as typed, 256 as kept
    ],
)
def test_no_kind_of_character_is_asked_for_or_refused(good: str) -> None:
    assert problem(good) is None


@pytest.mark.parametrize(
    ("weak", "why"),
    [
        ("", "at least 8"),
        ("seven77", "at least 8"),
        ("e\u0301" * 7, "at least 8"),  # 14 as typed, 7 as kept
        ("x" * 257, "at most 256"),
        ("ﷺ" * 15, "at most 256"),  # 270 characters, once normalised
        ("half \ud83e a fox", "surrogate"),
        ("Ana@Test.com", "must not be"),
        ("ａｎａ@test.com", "must not be"),
        ("sunshine", "common"),
        ("SunShine", "common"),
        ("ｓｕｎｓｈｉｎｅ", "common"),
    ],
)
def test_a_weak_password_is_told_why(weak: str, why: str) -> None:
    said = problem(weak)

    assert said is not None
    assert why in said
    assert not weak or weak not in said


@pytest.mark.parametrize("own_name", ["annabella2", "ANNABELLA2", "ａnnabella2"])
def test_the_username_is_no_password(own_name: str) -> None:
    assert problem("Annabella2", own_name) == "must not be the e-mail or the username."


def test_the_shortest_is_a_setting() -> None:
    assert weakness("fourteen chars", shortest=15, own_names=()) == "must have at least 15 characters."


async def test_a_hash_is_salted_and_holds_nothing_of_the_password(passwords: Passwords) -> None:
    first, second = await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)

    assert first != second
    assert first.startswith(f"$bcrypt-sha256$v=2,t=2b,r={COST}$")
    assert PASSWORD not in first
    assert await passwords.verify(PASSWORD, first) == (True, None)
    assert await passwords.verify(PASSWORD + " ", first) == (False, None)


@pytest.mark.parametrize("kept_as", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("typed_as", ["NFC", "NFD", "NFKC", "NFKD"])
async def test_every_unicode_form_is_the_same_password(passwords: Passwords, kept_as: Any, typed_as: Any) -> None:
    password = "한글 ﬁancé Å ½ " + "é" * 200

    kept = await passwords.hash(unicodedata.normalize(kept_as, password))

    assert await passwords.verify(unicodedata.normalize(typed_as, password), kept) == (True, None)


async def test_nothing_is_cut_off(passwords: Passwords) -> None:
    """bcrypt alone looks at 72 bytes, and at nothing behind a NUL."""
    for password, other in (
        ("x" * 256, "x" * 255 + "y"),
        ("same\0one, then", "same\0two, then"),
        ("ㅋ" * 25, "ㅋ" * 24),
    ):
        kept = await passwords.hash(password)
        assert (await passwords.verify(password, kept))[0]
        assert not (await passwords.verify(other, kept))[0]


@pytest.mark.parametrize(
    "impossible", ["", "x" * 257, "x" * 1_000_000, "\ud83e", "\0", "ﷺ" * 100], ids=lambda text: ascii(text[:3])
)
@pytest.mark.parametrize(
    "kept",
    [None, bcrypt.using(rounds=COST).hash(PASSWORD), bcrypt_sha256.using(rounds=COST).hash("x")],
    ids=["nobody", "bcrypt", "bcrypt_sha256"],  # hashes are salted: as ids they would differ between xdist's workers
)
async def test_what_cannot_be_a_password_is_a_wrong_one(
    passwords: Passwords, impossible: str, kept: str | None
) -> None:
    assert await passwords.verify(impossible, kept) == (False, None)


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=300))
def test_any_text_is_weak_or_can_be_signed_in_with(password: str) -> None:
    context = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=COST))
    if weakness(password, shortest=8, own_names=()) is None:
        kept = asyncio.run(context.hash(password))
        assert asyncio.run(context.verify(password, kept)) == (True, None)
    context.close()


@pytest.mark.parametrize(
    "older",
    [
        bcrypt.using(rounds=COST),
        bcrypt.using(rounds=COST, ident="2a"),
        bcrypt_sha256.using(rounds=COST + 1),
        bcrypt_sha256.using(rounds=COST, version=1, ident="2a"),
    ],
    ids=["bcrypt", "bcrypt 2a", "another cost", "version 1"],
)
async def test_a_hash_of_an_older_kind_is_made_anew(passwords: Passwords, older: Any) -> None:
    matches, new = await passwords.verify(PASSWORD, older.hash(PASSWORD))

    assert matches
    assert new is not None
    assert await passwords.verify(PASSWORD, new) == (True, None)
    assert await passwords.verify("wrong", older.hash(PASSWORD)) == (False, None)


async def test_a_hash_is_refused_at_once_when_the_queue_is_full() -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=COST, bcrypt_queue=3))
    gate = threading.Event()
    waiting = [asyncio.ensure_future(passwords._off_the_loop(gate.wait)) for _ in range(passwords._pool.threads + 3)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable) as known:
                await passwords.verify(PASSWORD, bcrypt_sha256.using(rounds=COST).hash(PASSWORD))
            with pytest.raises(Unavailable) as unknown:
                await passwords.verify(PASSWORD, None)
    finally:
        gate.set()
    await asyncio.gather(*waiting)

    assert known.value.extensions == unknown.value.extensions
    assert 1 <= known.value.retry_after <= 10
    assert (await passwords.verify(PASSWORD, await passwords.hash(PASSWORD)))[0]  # and then there is room again
    passwords.close()


async def test_who_hangs_up_gives_the_place_in_the_queue_back() -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=COST, bcrypt_queue=1))
    gate = threading.Event()
    for _ in range(20):
        threads = passwords._pool.threads
        waiting = [asyncio.ensure_future(passwords._off_the_loop(gate.wait)) for _ in range(threads + 1)]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        gate.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        async with asyncio.timeout(5):
            while passwords._pool._pending:  # noqa: ASYNC110 - a hash that has begun is not stopped, and tells nobody its end
                await asyncio.sleep(0.001)
        gate.clear()
    passwords.close()


async def test_the_loop_goes_on_while_a_password_is_hashed() -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=11))  # 0.1 s
    hashing = asyncio.ensure_future(passwords.hash(PASSWORD))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    passwords.close()

    assert turns > 5


async def test_closing_ends_the_threads() -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=COST))
    before = set(threading.enumerate())
    await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(10)))
    made = set(threading.enumerate()) - before

    passwords.close()
    for thread in made:
        await asyncio.to_thread(thread.join, 5)

    assert made
    assert not any(thread.is_alive() for thread in made)


async def test_closing_does_not_wait_for_the_queue() -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=10))
    waiting = [asyncio.ensure_future(passwords.hash(PASSWORD)) for _ in range(20)]  # a second of work on one core
    await asyncio.sleep(0)

    begun = time.perf_counter()
    passwords.close()

    assert time.perf_counter() - begun < 0.05
    async with asyncio.timeout(5):
        ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(one, Unavailable) for one in ended) >= 20 - passwords._pool.threads


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How much bcrypt was made to work since the last time it was asked, in rounds: a clock would count the machine's
    other work too."""
    done: list[int] = []
    real = bcrypt_library.hashpw

    def hashpw(password: bytes, salt: bytes) -> bytes:
        done.append(2 ** int(salt.split(b"$")[2]))
        hashed: bytes = real(password, salt)
        return hashed

    def taken() -> int:
        total = sum(done)
        done.clear()
        return total

    monkeypatch.setattr(bcrypt_library, "hashpw", hashpw)
    return taken


KEPT = {
    f"{kind.name} at {cost}": kind.using(rounds=cost).hash(PASSWORD)
    for kind in (bcrypt_sha256, bcrypt)
    for cost in (4, 5, 6, 7)
}
WRONG = {"wrong": "wrong password", "NUL": "wrong\0password", "surrogate": "\ud83e", "long": "x" * 300, "empty": ""}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_the_work_done_does_not_tell_who_has_an_account(wrong: str, work: Callable[[], int]) -> None:
    """Also once BCRYPT_COST was changed: hashes of every cost stay until their owners sign in."""
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=6))
    await passwords.warm()
    assert await passwords.verify(PASSWORD, KEPT["bcrypt at 7"]) != (False, None)  # a dearer one has been met
    work()

    for name, kept in {"nobody": None, "no hash": "", **KEPT}.items():
        assert await passwords.verify(wrong, kept) == (False, None)
        assert work() == 2**7, name
    passwords.close()


async def test_until_a_dearer_hash_is_met_the_setting_is_the_work(work: Callable[[], int]) -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=5))
    await passwords.warm()
    work()

    for kept, done in ((None, 5), (KEPT["bcrypt at 4"], 5), (KEPT["bcrypt_sha256 at 6"], 6), (None, 6)):
        await passwords.verify("wrong password", kept)
        assert work() == 2**done
    passwords.close()


async def test_a_right_password_costs_no_more_than_its_hash(work: Callable[[], int]) -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=6))
    await passwords.verify(PASSWORD, KEPT["bcrypt_sha256 at 7"])
    work()

    assert await passwords.verify(PASSWORD, KEPT["bcrypt_sha256 at 6"]) == (True, None)
    assert work() == 2**6
    passwords.close()


@pytest.mark.parametrize(("cost", "wait"), [(12, 5), (14, 20), (10, 2)])
async def test_the_wait_is_told_by_what_a_hash_costs(cost: int, wait: int) -> None:
    passwords = Passwords(settings_of("sqlite://unused.sqlite3", bcrypt_cost=cost, bcrypt_queue=1))
    passwords._pool._pending = 20 * passwords._pool.threads
    with pytest.raises(Unavailable) as told:
        await passwords.verify(PASSWORD, None)
    passwords.close()

    assert told.value.retry_after == wait


@pytest.mark.parametrize("text", ["\u0301\u0323" * 40_000, "a" + "\u0301\u0323" * 40_000], ids=["marks", "letter"])
def test_a_flood_of_accents_costs_nothing(text: str) -> None:
    """Putting them into Unicode's order takes time in the square of their number: seconds for these, minutes
    for as many as a request may hold."""
    begun = time.perf_counter()

    assert problem(text) == "must have at most 256 characters."
    assert time.perf_counter() - begun < 1
