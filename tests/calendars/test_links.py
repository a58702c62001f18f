"""An address holds a list, and only this server makes one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calendars.links import Links
from errors import NotFound, ValidationFailed
from models import EventStatus
from models.filters import EventFilter, Mine, Range
from settings import Settings

SETTINGS = Settings(_env_file=None, secret_key="a secret of this test alone, of more than 32 bytes", public_url="")
LINKS = Links(SETTINGS).below("https://planner.test/")
ANA, BEN = "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"
KEY = "k" * 43
TUESDAY = datetime(2026, 12, 1, tzinfo=UTC)
EVERYTHING = EventFilter(
    tags_any=("python", "파이썬"),
    tags_all=("web",),
    location="seoul",
    creator=BEN,
    starts_at=Range(TUESDAY, None),
    created_at=Range(None, TUESDAY),
    status=(EventStatus.SCHEDULED,),
    has_seats=True,
)
MINE = EventFilter(mine=Mine.ATTENDING, viewer_id=ANA)


def parts(address: str) -> list[str]:
    """The token, or the owner and the token, of a list's address."""
    assert address.startswith("https://planner.test/calendars/1/")
    assert address.endswith(".ics")
    return address.removesuffix(".ics").split("/")[5:]


def token_of(filter: EventFilter | None, search: str | None = None) -> str:
    (token,) = parts(LINKS.list(filter, search))
    return token


def test_a_list_comes_back() -> None:
    assert LINKS.read_list(token_of(EVERYTHING, "모임")) == (EVERYTHING, "모임")
    assert LINKS.read_list(token_of(None)) == (EventFilter(), None)


@given(
    tags=st.none() | st.lists(st.text(max_size=20), max_size=5).map(tuple),
    location=st.none() | st.text(max_size=50),
    search=st.none() | st.text(max_size=50),
)
def test_any_list_comes_back(tags: tuple[str, ...] | None, location: str | None, search: str | None) -> None:
    filter = EventFilter(tags_any=tags, location=location)

    assert LINKS.read_list(token_of(filter, search)) == (filter, search)


# Given out by the first release with calendars. A later one changes how it writes, if need be, and never this test.
GIVEN_OUT = (
    "jQ_DUURL0sUlfg17hTby3YWOPU7DQBCF7zJtstLa5Md2SyJR0JFUCEWzm3EcaclGu2NFUZSOMhwBaoQouRXmDsxG7pFGU8y87713"
    "gnrrmAJUJ2DcxBXujlA9wv7Ijd_BEH4vl-7tu3v9gqdhr3AuKQ5k0sl5i7wVaQWRfOsEsYGQvViCzopS43it0JYTNZ2OjDLWkjI3"
    "OtdliYUeFwJExsBizKlFHfyzoLnOJyrLlc4WWlfXGVw3nPsEWveEodoH-o-REG5jav5wezefLe_ns9S_wbiK4iYfDi0lIWGwjdj9"
    "fH507y9w_gM"
)


def test_an_address_of_the_first_release_is_read_for_ever() -> None:
    assert LINKS.read_list(GIVEN_OUT) == (EVERYTHING, "모임")


def test_the_same_list_has_one_address_whoever_asks() -> None:
    assert token_of(replace(EVERYTHING, viewer_id=ANA)) == token_of(replace(EVERYTHING, viewer_id=BEN))


def test_it_is_short() -> None:
    assert len(LINKS.list(EventFilter(tags_any=("python",)), "모임")) < 150


def test_what_fits_no_address_is_refused() -> None:
    tags = tuple(chr(0xAC00 + number * 97) * 3 + str(number * 7919) for number in range(100))

    with pytest.raises(ValidationFailed) as refused:
        LINKS.list(EventFilter(tags_any=tags * 3, tags_all=tags[::-1]), "".join(map(chr, range(0xAC00, 0xAE00))))

    assert "at most 2048" in refused.value.fields["filter"]


def test_each_altered_character_makes_it_another_that_is_none() -> None:
    token = token_of(EVERYTHING, "모임")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    for place, character in enumerate(token):
        for other in alphabet[alphabet.index(character) ^ 1], "!", "=", "é", "\n":
            with pytest.raises(NotFound):
                LINKS.read_list(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("more", ["=", "==", "A", "!", "%3D", ".ics"])
def test_a_lengthened_one_is_none(more: str) -> None:
    with pytest.raises(NotFound):
        LINKS.read_list(token_of(EVERYTHING) + more)


@pytest.mark.parametrize("token", ["", "A", "x" * 22, "말", "-" * 5000])
def test_a_made_up_one_is_none(token: str) -> None:
    with pytest.raises(NotFound):
        LINKS.read_list(token)


def test_another_servers_is_none() -> None:
    other = Links(SETTINGS.model_copy(update={"secret_key": "x" * 32})).below("https://planner.test")

    with pytest.raises(NotFound):
        LINKS.read_list(*parts(other.list(EVERYTHING, None)))


def test_ones_own_list_opens_with_the_key_that_made_it_alone() -> None:
    owner, token = parts(LINKS.list(MINE, "모임", KEY))

    assert owner == ANA
    assert LINKS.read_list(token, ANA, KEY) == (MINE, "모임")
    for user, key in [(ANA, "another"), (ANA, ""), (BEN, KEY), ("", ""), (ANA.upper(), KEY)]:
        with pytest.raises(NotFound):
            LINKS.read_list(token, user, key)


def test_a_public_list_is_not_anybodys_own() -> None:
    with pytest.raises(NotFound):
        LINKS.read_list(token_of(EVERYTHING), ANA, KEY)


@pytest.mark.parametrize(("viewer", "key"), [(None, KEY), (ANA, None), (ANA, "")])
def test_ones_own_list_without_a_key_is_a_slip(viewer: str | None, key: str | None) -> None:
    with pytest.raises(ValueError, match="calendar key"):
        LINKS.list(replace(MINE, viewer_id=viewer), None, key)


def test_the_key_is_not_in_a_lists_address() -> None:
    assert KEY not in LINKS.list(MINE, None, KEY)


@pytest.mark.parametrize(
    ("public_url", "reached_under", "base"),
    [
        ("", "http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("", "https://planner.test/below/", "https://planner.test/below"),
        ("", "ws://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("", "wss://wss.test/", "https://wss.test"),
        ("https://planner.test", "http://10.0.0.7:8000/", "https://planner.test"),
    ],
)
def test_addresses_begin_as_the_server_is_reached(public_url: str, reached_under: str, base: str) -> None:
    links = Links(SETTINGS.model_copy(update={"public_url": public_url})).below(reached_under)

    assert links.event(ANA) == f"{base}/calendars/event/{ANA}.ics"
    assert links.account(ANA, KEY) == f"{base}/calendars/account/{ANA}/{KEY}.ics"
    assert links.list(None, None).startswith(f"{base}/calendars/1/")
