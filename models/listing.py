"""A list of rows: which, in which order, a page at a time."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from tortoise import Model

from models.pages import Keyset, Page, PageRequest
from models.reads import Condition, Order, Way, count_each, kind, select_each
from models.rows import Rows


@dataclass(frozen=True)
class Listing:
    """The rows that a condition holds for. `scope` names the list in its cursors: no other list has the same."""

    where: Condition
    order: Order
    scope: str
    source: Condition = Condition()  # see models/reads.py
    ways: tuple[Way, ...] = ()  # to the same rows, by which a page is read sooner

    model: ClassVar[type[Model]]

    @cached_property
    def keyset(self) -> Keyset:
        return Keyset(self.order, tuple(kind(self.model, path) for path, _ in self.order), self.scope)

    @cached_property
    def shape(self) -> Any:
        """Equal for lists that one statement can read."""
        return (
            type(self),
            self.source.sql,
            self.where.sql,
            tuple((way.where.sql, way.only_if.sql) for way in self.ways),
            self.order,
        )

    def refuse_foreign_cursor(self, cursor: str | None) -> None:
        """Raises ValidationFailed on `after`, where it is not a cursor of this list."""
        self.keyset.behind(cursor)

    @classmethod
    async def pages(cls, lists: Sequence[Self], paths: Sequence[str], request: PageRequest) -> list[Page]:
        """A page of each list, all read in one statement. The lists have one shape."""
        each = [one._beyond(one.keyset.behind(request.after)) for one in lists]
        order, sources = lists[0].order, [one.source for one in lists]
        parts = await select_each(cls.model, lists[0]._with_keys(paths), each, order, request.limit, sources)
        return [request.page(rows) for rows in parts]

    async def stream(self, paths: Sequence[str], chunk: int = 500) -> AsyncIterator[Rows]:
        """All of the list, in order, a chunk at a time: no more than that is in memory, and none is read twice while
        others come and go."""
        wanted, beyond = self._with_keys(paths), Condition()
        while True:
            (rows,) = await select_each(self.model, wanted, [self._beyond(beyond)], self.order, chunk, [self.source])
            if rows:
                yield rows
            if len(rows) < chunk:
                return
            beyond = self.keyset.behind_last(rows)

    @classmethod
    async def counts(cls, lists: Sequence[Self]) -> list[int]:
        """How many rows each list has, counted in one statement."""
        return await count_each(cls.model, [one.where for one in lists], [one.source for one in lists])

    def _beyond(self, place: Condition) -> Sequence[Way]:
        ways = self.ways or (Way(self.where),)
        return [Way(way.where & place, way.only_if) for way in ways] if place.sql else ways

    def _with_keys(self, paths: Sequence[str]) -> Sequence[str]:
        lacking = [path for path, _ in self.order if path not in paths]
        return (*paths, *lacking) if lacking else paths
