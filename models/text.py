"""Which text, address, instant and time zone may be stored. Each function answers with the value as it is kept, or
raises Unfit with a reason that reads well behind a field's name."""

import re
import unicodedata
from datetime import UTC, datetime
from functools import cache
from urllib.parse import urlsplit
from zoneinfo import available_timezones

URL_MAX_LENGTH = 2_048
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_LAYOUT = frozenset("\n\r\t")


class Unfit(Exception):
    """Why a value cannot be kept."""


def fit(text: str, *, longest: int, shortest: int = 0, layout: bool = False) -> str:
    """The text without blanks at its ends; with `layout`, as it came, and line breaks and tabs may be inside."""
    refuse_unstorable(text, layout=layout)
    kept = text if layout else text.strip()
    if len(kept) < shortest:
        raise Unfit("must not be empty." if shortest == 1 else f"must have at least {shortest} characters.")
    if len(kept) > longest:
        raise Unfit(f"has {len(kept)} characters; at most {longest} are allowed.")
    return kept


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
    if len(text) > URL_MAX_LENGTH:
        raise Unfit(f"has {len(text)} characters; an address has at most {URL_MAX_LENGTH}.")
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
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # no such day, or beyond the years 1 to 9999
    raise Unfit("must be a date, time and offset, such as 2026-12-01T19:00:00+09:00 or 2026-12-01T10:00:00Z.")


def time_zone(name: str) -> str:
    if name not in _zones():
        raise Unfit("is not the name of a time zone; write it like Europe/Berlin, Asia/Seoul or UTC.")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"Factory", "localtime", "posixrules"}
