"""Events that another table finds by an index, such as those of a tag, and how a page of them is read soonest.

Few are gathered by that index and put in order. Many are met soon on the way through the order's own index, each event
being looked up: a page of those that one in 100 events belongs to is full after some 2,000 of them. Neither serves for
both: gathering 300,000 takes half a second, and so does the way to one event in 1,000,000. Which of them it is to be,
the statement itself finds out, by counting as far as FEW.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

from models.reads import Condition, Way, dialect

FEW = 2_000
_MOST = 3  # matches are tried for being few; those after them are looked up only


@dataclass(frozen=True)
class Match:
    found: Condition  # a SELECT of events' ids
    holds: Condition  # the same of the row `t` of `events`

    @property
    def condition(self) -> Condition:
        """The same again, where all of the events are needed."""
        return Condition(f"t.id IN ({self.found.sql})", self.found.values)

    @property
    def gathered(self) -> Condition:
        # PostgreSQL does not know how many these are, and may well look up event after event: not so in an array.
        sql = "t.id = ANY(ARRAY({}))" if dialect() == "postgres" else "t.id IN ({})"
        return Condition(sql.format(self.found.sql), self.found.values)

    @property
    def is_few(self) -> Condition:
        return Condition(f"((SELECT count(*) FROM ({self.found.sql} LIMIT {FEW}) f) < {FEW})", self.found.values)  # noqa: S608


def ways(matches: Sequence[Match], rest: Condition) -> tuple[Way, ...]:
    """To the events for which all matches and the rest hold."""
    found: list[Way] = []
    before = Condition()
    for match in matches[:_MOST]:
        others = all_of(other.holds for other in matches if other is not match)
        found.append(Way(match.gathered & others & rest, before & match.is_few))
        before &= Condition(f"NOT {match.is_few.sql}", match.is_few.values)
    return (*found, Way(all_of(match.holds for match in matches) & rest, before))


def all_of(conditions: Iterable[Condition]) -> Condition:
    return reduce(and_, conditions, Condition())
