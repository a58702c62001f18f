"""Search in the texts of events, by an index, in every language that is written in characters.

A text is folded (see `folded`) and cut at its blanks into words; the index holds each character of a word and each pair
of neighbours. So parts of words are found, and words of one and two syllables, which most Korean ones are: an index of
whole words misses those that have a particle behind them, and one of trigrams those that are too short for it.

Every word that is searched for must stand somewhere in the event. Its place decides how much it counts: the title
above the tags, the tags above description and location; an event's relevance is the sum over the words, each at its
best place.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self
from uuid import UUID

from tortoise import Model, fields

from errors import ValidationFailed
from models.matches import Match
from models.reads import Condition, contains, dialect, query
from models.text import Unfit, fit, fold
from models.writes import Added

LONGEST = 200
MOST_WORDS = 10
SEARCHED = frozenset({"title", "tags", "location", "description"})  # the columns of an event


def folded(text: str) -> str:
    """The form in which two spellings are one: as `fold`, and without accents. Hangul's syllables stay whole."""
    apart = unicodedata.normalize("NFD", fold(text))
    return unicodedata.normalize("NFC", "".join(c for c in apart if not "\u0300" <= c <= "\u036f"))


def grams(words: Iterable[str]) -> list[str]:
    """Each character of the words, and each pair of neighbours, once."""
    found: set[str] = set()
    for word in words:
        found.update(word)
        found.update(map("".join, pairwise(word)))
    return sorted(found)


class GramList(fields.Field[list[str]], list):  # type: ignore[type-arg,misc]  # Field wants the Python type as a second base
    """text[] on PostgreSQL; on SQLite a text of words for FTS5, each the digits of a gram, so that FTS5 takes every
    character for what it is."""

    SQL_TYPE = "TEXT"

    class _db_postgres:
        SQL_TYPE = "TEXT[]"


class EventText(Model):
    """An event's texts, folded.

    Apart from the event, whose row changes with each place that is taken: the index is dear to change. On SQLite
    triggers keep the table `event_grams`, which is the index, equal to this one: see migration 0003.
    """

    id = fields.BigIntField(primary_key=True)  # written out: VACUUM gives a row without its own number another one
    event: fields.OneToOneRelation[Any] = fields.OneToOneField("models.Event", related_name=False)
    title = fields.TextField()
    tags = fields.TextField()
    rest = fields.TextField()
    grams = GramList()

    class Meta:
        table = "event_texts"

    @classmethod
    def added(cls, event_id: UUID, values: Mapping[str, Any]) -> Added:
        """The row of a new event."""
        columns = ("title", "tags", "rest", "grams")
        kept = zip(columns, texts(values, dialect()), strict=True)
        return Added("event_texts", {"event_id": event_id, **dict(kept)})

    @classmethod
    async def write(cls, event_id: UUID, values: Mapping[str, Any]) -> None:
        """Keeps the texts of the event, whose columns are given, anew."""
        await query(_WRITE, [event_id, *texts(values, dialect())])


_WRITE = (
    "INSERT INTO event_texts (event_id, title, tags, rest, grams) VALUES (?, ?, ?, ?, ?) ON CONFLICT (event_id)"
    " DO UPDATE SET title = excluded.title, tags = excluded.tags, rest = excluded.rest, grams = excluded.grams"
)


def texts(event: Mapping[str, Any], dialect: str) -> list[Any]:
    """The values of title, tags, rest and grams for an event's columns, as the database keeps them."""
    rest = f"{event['description']}\n{event['location']}"
    kept = [folded(event["title"]), folded("\n".join(event["tags"])), folded(rest)]
    found = grams(word for text in kept for word in text.split())
    return [*kept, found if dialect == "postgres" else " ".join(map(_token, found))]


def _token(gram: str) -> str:
    return gram.encode().hex()


@dataclass(frozen=True)
class Search:
    """The folded words that must all stand in an event; without any, every event is found."""

    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, said: str | None) -> Self:
        """Raises ValidationFailed on `search`."""
        try:
            # Bounded before it is folded: a megabyte of accents takes minutes.
            words = folded(fit(said or "", longest=LONGEST, layout=True)).split()
        except Unfit as reason:
            raise ValidationFailed({"search": str(reason)}) from None
        if len(words) > MOST_WORDS:
            raise ValidationFailed({"search": f"has {len(words)} words; at most {MOST_WORDS} are allowed."})
        return cls(tuple(sorted(set(words))))

    def matches(self) -> list[Match]:
        """What holds for the events that are found: nothing without a word."""
        if not self.words:
            return []
        where = self._matching()
        # Of one event its texts are asked, not the index: FTS5 would read the words' events anew for each.
        standing = " AND ".join(contains(_WHOLE) for _ in self.words)
        return [
            Match(
                Condition(f"SELECT x.event_id FROM {_INDEXED[dialect()]} WHERE {where.sql}", where.values),  # noqa: S608
                Condition(
                    f"EXISTS (SELECT 1 FROM event_texts x WHERE x.event_id = t.id AND {standing})",  # noqa: S608
                    self.words,
                ),
            )
        ]

    def scored(self) -> Condition:
        """The rows of `events` that are found, with their relevance: a `source` (see models/reads.py)."""
        place = f"CASE WHEN {contains('x.title')} THEN 3 WHEN {contains('x.tags')} THEN 2 ELSE 1 END"
        score = " + ".join(place for _ in self.words)
        where = self._matching()
        return Condition(
            f"SELECT e.*, {score} AS relevance FROM {_INDEXED[dialect()]} JOIN events e ON e.id = x.event_id"  # noqa: S608
            f" WHERE {where.sql}",
            (*(word for word in self.words for _ in range(2)), *where.values),
        )

    def _matching(self) -> Condition:
        """What holds for the row `x` of `event_texts`."""
        # Of a longer word its pairs alone: they hold its characters.
        needed = sorted({gram for word in self.words for gram in grams([word]) if len(gram) == 2 or len(word) == 1})
        if dialect() == "postgres":
            indexed = Condition("x.grams @> ?", (tuple(needed),))
        else:
            indexed = Condition("g.event_grams MATCH ?", (" AND ".join(f'"{_token(gram)}"' for gram in needed),))
        # The index knows which pairs there are and not their order: what is longer than a pair is looked up as well.
        longer = tuple(word for word in self.words if len(word) > 2)
        return Condition(" AND ".join((indexed.sql, *(contains(_WHOLE) for _ in longer))), indexed.values + longer)


_WHOLE = "x.title || ' ' || x.tags || ' ' || x.rest"  # words have no blanks in them: none stands across two texts
_INDEXED = {"postgres": "event_texts x", "sqlite": "event_grams g JOIN event_texts x ON x.id = g.rowid"}
