"""A list of events: which, in which order, a page at a time."""

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Literal, Self

import orjson

from errors import ValidationFailed
from models.event import Event
from models.filters import EventFilter
from models.listing import Listing
from models.matches import all_of, ways
from models.reads import Condition, Order, dialect, query
from models.search import Search

NEWEST: Order = (("created_at", "DESC"), ("id", "DESC"))


class EventOrderField(StrEnum):
    CREATED_AT = "CREATED_AT"
    STARTS_AT = "STARTS_AT"  # an event without a start comes after every date
    TITLE = "TITLE"
    CONFIRMED_COUNT = "CONFIRMED_COUNT"
    RELEVANCE = "RELEVANCE"  # to a search: see models/search.py


class OrderDirection(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


_COLUMNS = {
    EventOrderField.CREATED_AT: "created_at",
    EventOrderField.STARTS_AT: "starts_key",
    EventOrderField.TITLE: "title_key",
    EventOrderField.CONFIRMED_COUNT: "confirmed_count",
    EventOrderField.RELEVANCE: "relevance",
}


@dataclass(frozen=True)
class EventOrder:
    field: EventOrderField = EventOrderField.CREATED_AT
    direction: OrderDirection = OrderDirection.DESC

    @property
    def columns(self) -> Order:
        """Equals stand in the order of their ids; equally relevant ones newest first, the best being first."""
        direction: Literal["ASC", "DESC"] = self.direction.value
        then = ("created_at", "id") if self.field is EventOrderField.RELEVANCE else ("id",)
        return tuple((column, direction) for column in (_COLUMNS[self.field], *then))


@dataclass(frozen=True)
class EventList(Listing):
    where: Condition = Condition()
    order: Order = NEWEST
    scope: str = "events"
    # What it was made of, for the address of its calendar.
    filter: EventFilter = field(default_factory=EventFilter)
    search: str | None = None

    model = Event

    @classmethod
    def of(cls, filter: EventFilter | None = None, search: str | None = None, order: EventOrder | None = None) -> Self:
        """The events that the filter holds for and in which every word of the search stands, newest first unless
        ordered. Raises ValidationFailed on `search`, and on `orderBy` where relevance has no search."""
        if filter is None and search is None and (order is None or order.field is not EventOrderField.RELEVANCE):
            return cls._everything(order)
        filter, order, found = filter or EventFilter(), order or EventOrder(), Search.of(search)
        by_relevance = order.field is EventOrderField.RELEVANCE
        if by_relevance and not found.words:
            raise ValidationFailed({"orderBy": "RELEVANCE is to a search: give one, or order by another field."})
        named = orjson.dumps([filter.as_json(), found.words], option=orjson.OPT_SORT_KEYS).decode()
        made = cls(scope=f"events {named}", order=order.columns, filter=filter, search=search if found.words else None)
        if by_relevance:
            return replace(made, where=filter.condition(), source=found.scored())
        matches, rest = [*found.matches(), *filter.matches()], filter.rest()
        where = all_of([*(match.condition for match in matches), rest])
        return replace(made, where=where, ways=ways(matches, rest) if matches else ())

    @classmethod
    @lru_cache(maxsize=32)
    def _everything(cls, order: EventOrder | None) -> Self:
        # The commonest of lists, and always the same: to make it anew takes longer than to write its answer.
        return cls.of(EventFilter(), None, order)

    @classmethod
    def of_creator(cls, user_id: str) -> Self:
        theirs = EventFilter(creator=user_id)
        return cls(theirs.condition(), scope=f"creator {user_id}", filter=theirs)

    async def fingerprint(self) -> str:
        """Another text whenever an event of the list gets a new version, comes or goes: not when only places are taken
        or given up. One statement."""
        table = f"({self.source.sql})" if self.source.sql else "events"
        where = f" WHERE {self.where.sql}" if self.where.sql else ""
        sums = f"count(*) AS a, sum(t.version) AS b, sum({_id_as_number()}) AS c, max(t.updated_at) AS d"
        values = self.source.values + self.where.values
        (row,) = await query(f"SELECT {sums} FROM {table} t{where}", values)  # noqa: S608 - written in code
        return hashlib.blake2b(repr(list(row.values())).encode(), digest_size=12).hexdigest()


def _id_as_number() -> str:
    if dialect() == "postgres":
        return "hashtextextended(t.id::text, 0)"
    # Its last eight digits, which are chance; SQLite does not read hexadecimal text as a number.
    digits = (f"(instr('123456789abcdef', substr(t.id, {36 - place}, 1)) << {4 * place})" for place in range(8))
    return " + ".join(digits)
