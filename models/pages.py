"""Keyset cursors: written, read, refused.

A cursor says behind which row a page begins: the values of the order's columns there, with a digest of the list it
belongs to (its order and condition), so that it cannot be used with another list. It is not a secret: who forges one
reads only rows that the list shows anyway.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from errors import ValidationFailed
from models.reads import Condition, Order
from models.rows import Rows
from models.text import Unfit, fit

LARGEST = 100
_TEXT_LONGEST = 1_000
_DIGEST_BYTES = 9


def refuse_size(first: int) -> None:
    """Raises ValidationFailed on `first` where no page has that many rows."""
    if not 1 <= first <= LARGEST:
        raise ValidationFailed({"first": f"must be from 1 to {LARGEST}."})


@dataclass(frozen=True)
class Page:
    """Rows, and whether there are more before and behind them."""

    rows: Rows
    has_next: bool
    has_previous: bool


@dataclass(frozen=True)
class PageRequest:
    """How many rows, behind which cursor. Raises ValidationFailed on `first`; whether `after` is a cursor of the list
    only the list's Keyset knows."""

    first: int
    after: str | None

    def __post_init__(self) -> None:
        refuse_size(self.first)

    @property
    def limit(self) -> int:
        return self.first + 1  # one more tells whether there is a next page

    def page(self, rows: Rows) -> Page:
        return Page(rows[: self.first], has_next=len(rows) > self.first, has_previous=self.after is not None)


@dataclass(frozen=True)
class Keyset:
    """The order of a list, all in one direction and its last column unique; what each of its columns holds; and the
    list's name, which no other list shares."""

    order: Order
    kinds: tuple[type, ...]
    scope: str

    def cursor(self, rows: Rows, at: int) -> str:
        """That of one of the rows."""
        payload = orjson.dumps(self._place(rows, at))
        return _written(self._digest(payload) + payload)

    def behind(self, cursor: str | None) -> Condition:
        """The condition of the rows behind the cursor. Raises ValidationFailed on `after`."""
        return Condition() if cursor is None else self._beyond(self._read(cursor))

    def behind_last(self, rows: Rows) -> Condition:
        return self._beyond(self._place(rows, -1))

    def _place(self, rows: Rows, at: int) -> list[Any]:
        return rows.values(at, [path for path, _ in self.order])

    def _beyond(self, place: Sequence[Any]) -> Condition:
        # Rows compared as wholes are found in the index at once, however many are alike in the first column: written
        # out with AND and OR, all those that are alike are passed over one by one.
        columns = ", ".join(f't."{path}"' for path, _ in self.order)
        sign = _BEYOND[self.order[0][1]]
        return Condition(f"({columns}) {sign} ({', '.join('?' * len(place))})", tuple(place))

    def _read(self, cursor: str) -> Sequence[Any]:
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
            # base64 is also read with more at its end, and with other last bits: that is altered too.
            if digest == self._digest(payload) and cursor == _written(raw):
                return [_READ[kind](value) for kind, value in zip(self.kinds, orjson.loads(payload), strict=True)]
        except (ValueError, TypeError, AttributeError, OverflowError, Unfit):
            pass  # not base64, not JSON, not values of these kinds: told below
        raise ValidationFailed({"after": "is not a cursor of this list. Take endCursor from a page of the same list."})

    def _digest(self, payload: bytes) -> bytes:
        list_ = f"{self.scope}|{self.order}|".encode()
        return hashlib.blake2b(list_ + payload, digest_size=_DIGEST_BYTES).digest()


def _written(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


_BEYOND = {"ASC": ">", "DESC": "<"}


def _instant(value: Any) -> datetime:
    if not isinstance(value, str) or (at := datetime.fromisoformat(value)).tzinfo is None:
        raise Unfit("is no instant.")
    return at.astimezone(UTC)


def _number(value: Any) -> int:
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise Unfit("is no number that a column holds.")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("is no text.")
    return fit(value, longest=_TEXT_LONGEST, layout=True)  # with its blanks


# The digest is no signature: a forger may have written anything, and one database or the other would fail on it.
_READ: dict[type, Callable[[Any], Any]] = {datetime: _instant, int: _number, str: _text, UUID: UUID}
