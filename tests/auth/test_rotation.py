"""The rules by which keys come and go. The day of a rotation, told with clocks of its own."""

from datetime import UTC, datetime, timedelta

import pytest

from auth.rotation import SECRET, SPREAD, KeyRefused, Manifest
from web.jwks import MAX_AGE_SECONDS

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
LIFE = timedelta(minutes=15)
MOMENT = timedelta(seconds=1)
FIRST = Manifest.first(NOW)
PUBLISHED = FIRST.publish("new", "ES256", NOW)
USED = PUBLISHED.use("new", NOW + SPREAD)


def test_secret_key_signs_until_another_does() -> None:
    assert (FIRST.signing, [*FIRST.keys]) == (SECRET, [SECRET])


def test_a_published_key_does_not_sign_before_everybody_knows_it() -> None:
    assert PUBLISHED.signing == SECRET
    with pytest.raises(KeyRefused, match=r"not known everywhere .* until 2026-12-01 10:10:00 UTC\. .*--now"):
        PUBLISHED.use("new", NOW + SPREAD - MOMENT)

    assert PUBLISHED.use("new", NOW + SPREAD).signing == "new"
    assert PUBLISHED.use("new", NOW, at_once=True).signing == "new"


def test_no_copy_of_the_jwks_outlives_the_time_before_a_key_signs() -> None:
    assert timedelta(seconds=2 * MAX_AGE_SECONDS) <= SPREAD


def test_a_key_is_retired_when_no_token_of_its_is_good() -> None:
    retirable = NOW + SPREAD + SPREAD + LIFE
    with pytest.raises(KeyRefused, match=r"good until 2026-12-01 10:35:00 UTC\. .*--now"):
        USED.retire(SECRET, retirable - MOMENT, longest_life=LIFE)

    assert [*USED.retire(SECRET, retirable, longest_life=LIFE).keys] == ["new"]
    assert [*USED.retire(SECRET, NOW + SPREAD, longest_life=LIFE, at_once=True).keys] == ["new"]


def test_a_key_that_never_signed_is_retired_at_any_time() -> None:
    assert PUBLISHED.retire("new", NOW, longest_life=LIFE) == FIRST


@pytest.mark.parametrize("at_once", [False, True])
def test_the_key_that_signs_is_not_retired(at_once: bool) -> None:
    with pytest.raises(KeyRefused, match=r"^Key new signs\. .*planner keys new, then planner keys use KID"):
        USED.retire("new", NOW + timedelta(days=1), longest_life=LIFE, at_once=at_once)


def test_a_key_that_signed_before_signs_again_at_once() -> None:
    back = USED.use(SECRET, NOW + SPREAD + MOMENT)

    assert back.signing == SECRET
    assert back.keys[SECRET].signed_until is None
    with pytest.raises(KeyRefused):  # the tokens of its short time are good as long as any
        back.retire("new", NOW + SPREAD + LIFE, longest_life=LIFE)


def test_what_is_there_already_or_is_not_is_told() -> None:
    with pytest.raises(KeyRefused, match="signs already"):
        USED.use("new", NOW)
    for step in (USED.use, lambda name, now: USED.retire(name, now, longest_life=LIFE)):
        with pytest.raises(KeyRefused, match=r"^There is no key other\. There are: SECRET_KEY, new\.$"):
            step("other", NOW)


@pytest.mark.parametrize("manifest", [FIRST, PUBLISHED, USED])
def test_what_is_written_is_read(manifest: Manifest) -> None:
    assert Manifest.read(manifest.text) == manifest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        USED.text.replace('"signing": "new"', '"signing": "old"'),
        USED.text.replace('"signing": "new"', '"signing": ["new"]'),
        USED.text.replace("+00:00", ""),
        USED.text.replace("2026", "26"),
        USED.text.replace("publishedAt", "published"),
        USED.text.replace('"keys": {', '"keys": [').replace("}\n  }\n}", "}\n  ]\n}"),
        USED.text[: len(USED.text) // 2],
    ],
)
def test_what_it_did_not_write_is_not_read(text: str) -> None:
    assert text != USED.text
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Manifest.read(text)
