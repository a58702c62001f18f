"""Connections, whatever is in them (Relay's Cursor Connections Specification)."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

import strawberry

from errors import Refusal
from executor import FromRow, FromRows, Selection, is_alone, selection
from models import NO_ROWS, Page, PageRequest
from models.listing import Listing
from models.pages import Keyset
from schema.context import Info

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
    def of(cls, page: Page, keyset: Keyset) -> Self:
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=keyset.cursor(page.rows, 0) if page.rows else None,
            end_cursor=keyset.cursor(page.rows, -1) if page.rows else None,
        )


Node = TypeVar("Node")


@strawberry.type
class Edge(Generic[Node]):
    node: Node
    cursor: str


@strawberry.type
class Connection(Generic[Node]):
    edges: list[Edge[Node]]
    nodes: list[Node]
    page_info: PageInfo

    @strawberry.field(description="Counted only when selected.")
    async def total_count(self, info: Info) -> int:
        listing: Listing = self.__dict__["_listing"]
        count: int = await info.context.loader(("counts", type(listing)), type(listing).counts).load(listing)
        return count

    @classmethod
    async def of(cls, listing: Listing, request: PageRequest, info: Info, node: type[FromRow]) -> Self:
        """A page of the list; the pages of many lists, asked for at once, are read in one statement. `node` is the
        nodes' type."""
        asked = selection(info)
        listing.refuse_foreign_cursor(request.after)
        if not asked.keys() & {"edges", "nodes", "pageInfo"}:
            return cls._of_page(listing, Page(NO_ROWS, has_next=False, has_previous=False), asked, node)
        paths = asked.below("nodes", "edges.node").paths(node)

        async def load(lists: Sequence[Listing]) -> list[Page]:
            return await type(listing).pages(lists, paths, request)

        if is_alone(info):
            (page,) = await load([listing])
            with suppress(Refusal):  # is met by the fields again, and told there
                await node.look_ahead(page.rows, asked.below("nodes", "edges.node"), info)
        else:
            page = await info.context.loader((listing.shape, paths, request), load).load(listing)
        return cls._of_page(listing, page, asked, node)

    @classmethod
    def _of_page(cls, listing: Listing, page: Page, asked: Selection, node: type[FromRow]) -> Self:
        made = object.__new__(cls)  # past __init__, which wants every field
        values: dict[str, Any] = made.__dict__
        values["_listing"] = listing
        if "nodes" in asked:
            values["nodes"] = FromRows(page.rows, node)
        if "edges" in asked:
            keyset = listing.keyset
            values["edges"] = [
                Edge(node=node.of(row), cursor=keyset.cursor(page.rows, at)) for at, row in enumerate(page.rows)
            ]
        if "pageInfo" in asked:
            values["page_info"] = PageInfo.of(page, listing.keyset)
        return made
