"""Which text, address, instant and time zone may be stored. Each function answers with the value as it is kept, or
raises Unfit with a reason that reads well behind a field's name."""

import re
import unicodedata
from datetime import UTC, datetime
from functools import cache
from urllib.parse import urlsplit
from zoneinfo import available_timezones

URL_LONGEST = 2_048
YEARS = range(2, 9_999)  # PostgreSQL's driver writes Python's first and last instant as -infinity and infinity
# Printable by Python's word, yet nothing is seen of them: two names would look the same (Default_Ignorable_Code_Point,
# and the blank of Braille).
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_LAYOUT = frozenset("\n\r\t")


class Unfit(Exception):
    """Why a value cannot be kept."""


def fit(text: str, *, longest: int, shortest: int = 0, layout: bool = False) -> str:
    """The text without blanks at its ends, and empty where nothing of it is seen; with `layout`, as it came, and line
    breaks and tabs may be inside."""
    refuse_unstorable(text, layout=layout)
    kept = text if layout else text.strip() if _is_seen(text) else ""
    if len(kept) < shortest:
        raise Unfit("must not be empty." if shortest == 1 else f"must have at least {shortest} characters.")
    if len(kept) > longest:
        raise Unfit(f"has {len(kept)} characters; at most {longest} are allowed.")
    return kept


def _is_seen(text: str) -> bool:
    # Cf: what joins letters and emoji, or turns the direction of writing, such as U+200B and U+FEFF.
    return not all(one.isspace() or unicodedata.category(one) == "Cf" or UNSEEN.match(one) for one in text)


def refuse_unstorable(text: str, *, layout: bool = False) -> None:
    """NUL, lone surrogates and control characters: one database or the other, or JSON, does not take them."""
    for character in text:
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and not (layout and character in _LAYOUT)):
            raise Unfit(f"holds the character U+{ord(character):04X}, which cannot be stored. Remove it.")


def fold(text: str) -> str:
    """The form in which two spellings of one name are equal: NFKC, casefolded (Unicode 3.13, D146)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def url(text: str) -> str:
    if len(text) > URL_LONGEST:
        raise Unfit(f"has {len(text)} characters; an address has at most {URL_LONGEST}.")
    refuse_unstorable(text)
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError where it is no number, or too large
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[\s<>\"\\]", text):
        raise Unfit("must be an absolute http or https address, such as https://example.org/poster.png.")
    return text


def instant(text: str) -> datetime:
    """The instant in UTC, from ISO 8601 with an offset (RFC 3339 §5.6; the seconds may be left out)."""
    if _INSTANT.fullmatch(text):
        try:
            found = datetime.fromisoformat(text.upper()).astimezone(UTC)
            if found.year in YEARS:
                return found
        except OverflowError:
            pass  # beyond Python's years, once in UTC
        except ValueError:
            raise _no_instant() from None  # there is no such day or hour
        raise Unfit(f"must be in the years {YEARS[0]:04} to {YEARS[-1]:04}, in UTC.")
    raise _no_instant()


def _no_instant() -> Unfit:
    return Unfit("must be a date, time and offset, such as 2026-12-01T19:00:00+09:00 or 2026-12-01T10:00:00Z.")


def time_zone(name: str) -> str:
    if name not in _zones():
        raise Unfit("is not the name of a time zone; write it like Europe/Berlin, Asia/Seoul or UTC.")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"Factory", "localtime", "posixrules"}
