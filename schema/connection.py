"""Connections, whatever is in them (Relay's Cursor Connections Specification)."""

from typing import Any, Generic, Self, TypeVar

import strawberry

from models import Page, PageRequest, Row
from models.listing import Listing
from models.pages import Keyset
from schema.context import Info
from schema.selection import Selection, merged, selection

PAGE = 20  # rows, where `first` does not say


def page_request(first: int | None, after: str | None) -> PageRequest:
    """A null says as little as a left-out argument. Raises ValidationFailed on `first`."""
    return PageRequest(PAGE if first is None else first, after)


def of_row(type_: type[Any], values: dict[str, Any]) -> Any:
    """An object of a GraphQL type with what was selected alone: past __init__, which wants every field."""
    made = object.__new__(type_)
    made.__dict__.update(values)
    return made


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None

    @classmethod
    def of(cls, page: Page, keyset: Keyset) -> Self:
        def cursor(row: Row | None) -> str | None:
            return keyset.cursor(row) if row else None

        first, last = (page.rows[0], page.rows[-1]) if page.rows else (None, None)
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=cursor(first),
            end_cursor=cursor(last),
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
    async def of(cls, listing: Listing, request: PageRequest, info: Info, node: type[Any]) -> Self:
        """A page of the list; the pages of many lists, asked for at once, are read in one statement.

        `node` is the nodes' type: its `paths` says which columns a selection needs, its `of` makes it of a row.
        """
        asked = selection(info)
        listing.refuse_foreign_cursor(request.after)
        if not asked.keys() & {"edges", "nodes", "pageInfo"}:
            return cls._of_page(listing, Page([], has_next=False, has_previous=False), asked, node)
        wanted = merged(asked.get("nodes", {}), asked.get("edges", {}).get("node", {}))
        paths = tuple(node.paths(wanted))

        async def load(lists: list[Listing]) -> list[Page]:
            return await type(listing).pages(lists, paths, request)

        alike = (listing.shape, paths, request)
        return cls._of_page(listing, await info.context.loader(alike, load).load(listing), asked, node)

    @classmethod
    def _of_page(cls, listing: Listing, page: Page, asked: Selection, node: type[Any]) -> Self:
        values: dict[str, Any] = {"_listing": listing}
        nodes = [node.of(row) for row in page.rows]
        if "nodes" in asked:
            values["nodes"] = nodes
        if "edges" in asked:
            cursors = (listing.keyset.cursor(row) for row in page.rows)
            values["edges"] = [Edge(node=n, cursor=c) for n, c in zip(nodes, cursors, strict=True)]
        if "pageInfo" in asked:
            values["page_info"] = PageInfo.of(page, listing.keyset)
        made: Self = of_row(cls, values)
        return made
