"""The parts of a connection that do not depend on what is in it (Relay's Cursor Connections Specification)."""

import strawberry

from models import Page, PageRequest, Row
from models.pages import Keyset

PAGE = 20  # rows, where `first` does not say


def page_request(first: int | None, after: str | None) -> PageRequest:
    """A null says as little as a left-out argument. Raises ValidationFailed on `first`."""
    return PageRequest(PAGE if first is None else first, after)


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None

    @classmethod
    def of(cls, page: Page, keyset: Keyset) -> "PageInfo":
        def cursor(row: Row | None) -> str | None:
            return keyset.cursor(row) if row else None

        first, last = (page.rows[0], page.rows[-1]) if page.rows else (None, None)
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=cursor(first),
            end_cursor=cursor(last),
        )
