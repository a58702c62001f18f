"""An event's tags: which may be given, and how they are kept.

They stand in a column of the event's row, so that a list of events is read from one table, and once more,
casefolded, in `event_tags`, by which events are found and counted. See docs/decisions/0003-tags.md.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from tortoise import Model, fields

from errors import ValidationFailed
from models.pages import refuse_size
from models.reads import dialect, query
from models.rows import Row
from models.text import Unfit, fit, fold
from models.writes import Added

MOST = 20
LAST_CHARACTER = "\U0010ffff"
LONGEST = 50

# aiosqlite hands a TagList's value on as it is: SQLite keeps it as JSON text.
sqlite3.register_adapter(list, lambda tags: json.dumps(tags, ensure_ascii=False))


class TagList(fields.Field[list[str]], list):  # type: ignore[type-arg,misc]  # Field wants the Python type as a second base
    """text[] on PostgreSQL, JSON text on SQLite."""

    SQL_TYPE = "TEXT"

    class _db_postgres:
        SQL_TYPE = "TEXT[]"

    def to_db_value(self, value: Any, instance: Any) -> Any:
        return value

    def to_python_value(self, value: Any) -> list[str] | None:
        read: list[str] | None = json.loads(value) if isinstance(value, str) else value
        return read


class EventTag(Model):
    id = fields.BigIntField(primary_key=True)
    key = fields.CharField(
        max_length=200
    )  # casefolding makes at most three characters of one, NFKC up to 18: see fit_tags
    event: fields.ForeignKeyRelation[Any] = fields.ForeignKeyField("models.Event", related_name=False, db_index=True)

    class Meta:
        table = "event_tags"
        unique_together = (("key", "event"),)

    @classmethod
    def added(cls, event_id: UUID, tags: Iterable[str]) -> Added:
        """The rows of a new event."""
        return Added("event_tags", {"key": [fold(tag) for tag in tags], "event_id": event_id}, each="key")

    @classmethod
    async def write(cls, event_id: UUID, tags: Iterable[str]) -> None:
        await cls.bulk_create(cls(key=fold(tag), event_id=event_id) for tag in tags)


def fit_tags(tags: list[str]) -> list[str]:
    """Trimmed, without the repeats that differ only in case, in the order given. Raises Unfit."""
    kept: dict[str, str] = {}
    if len(tags) > 10 * MOST:  # before they are folded: who repeats a few is forgiven, who sends a megabyte is not
        raise _too_many(len(tags))
    for tag in tags:
        try:
            shown = fit(tag, shortest=1, longest=LONGEST)
        except Unfit as reason:
            raise Unfit(f"{json.dumps(tag[:LONGEST])} {reason}") from None
        key = fold(shown)
        if len(key) > EventTag._meta.fields_map["key"].max_length:  # type: ignore[attr-defined]
            raise Unfit(f"{json.dumps(shown)} is too long once its ligatures are spelled out.")
        kept.setdefault(key, shown)
    if len(kept) > MOST:
        raise _too_many(len(kept))
    return list(kept.values())


def _too_many(number: int) -> Unfit:
    return Unfit(f"there are {number}; at most {MOST} are allowed.")


async def tag_counts(starts_with: str | None, first: int) -> list[Row]:
    """The tags of published events with the number of events, most used first: rows of `tag` and `count`.

    A tag is shown casefolded, since its events may spell it differently. Raises ValidationFailed.
    """
    refuse_size(first)
    try:
        fit(starts_with or "", longest=4 * LONGEST)  # before it is folded: a megabyte of accents takes minutes
    except Unfit as reason:
        raise ValidationFailed({"startsWith": str(reason)}) from None
    key = 'key COLLATE "C"' if dialect() == "postgres" else "key"  # by character on both: see migration 0001
    where = ""
    values: list[Any] = []
    if prefix := fold(starts_with or "").lstrip():
        # A range, not LIKE: it is answered from the index on both, and no character of the client's is a wildcard.
        where = f" WHERE {key} >= ? AND {key} < ?"
        values = [prefix, prefix + LAST_CHARACTER]
    sql = f"SELECT {key} AS tag, count(*) AS count FROM event_tags{where} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"  # noqa: S608 - `key` and `where` are written above
    return await query(sql, [*values, first])
