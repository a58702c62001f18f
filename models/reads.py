"""One SELECT for a list, whatever its size: which fields, which condition, which order, how many.

A field is named by its path from the table, such as "title" or "creator.username"; what lies behind a foreign key is
joined, and nothing is read that was not named. A condition's SQL names the table `t`, and a joined one by its foreign
key (`creator`); its values stand as `?`. Names, conditions' SQL and orders are written in code, never by a client.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Literal
from uuid import UUID

from tortoise import Model, Tortoise, fields
from tortoise.fields.relational import ForeignKeyFieldInstance

Row = dict[str, Any]  # a foreign key's part is a Row of its own: {"title": ..., "creator": {"username": ...}}
Order = tuple[tuple[str, Literal["ASC", "DESC"]], ...]


@dataclass(frozen=True)
class Condition:
    """A piece of SQL, and a value for each `?` in it. The empty one holds for every row."""

    sql: str = ""
    values: tuple[Any, ...] = ()

    def __and__(self, other: "Condition") -> "Condition":
        if not (self.sql and other.sql):
            return self if self.sql else other
        return Condition(f"({self.sql}) AND ({other.sql})", self.values + other.values)


async def select(
    model: type[Model],
    paths: Sequence[str],
    where: Condition = Condition(),
    order: Order = (),
    limit: int | None = None,
) -> list[Row]:
    """The rows, in order. Ids are text, instants aware and in UTC, tags a list."""
    statement = _statement(model, tuple(paths), where.sql, order, limit is not None, 1, dialect())
    values = [*where.values, limit] if limit is not None else where.values
    return [statement.row(record) for record in await _fetch(statement.sql, values)]


async def select_each(
    model: type[Model], paths: Sequence[str], wheres: Sequence[Condition], order: Order, limit: int
) -> list[list[Row]]:
    """What `select` answers for each of the conditions, in one statement. They differ in their values alone, and the
    order names none but selected fields."""
    statement = _statement(model, tuple(paths), wheres[0].sql, order, True, len(wheres), dialect())
    parts: list[list[Row]] = [[] for _ in wheres]
    for record in await _fetch(statement.sql, list(chain.from_iterable((*w.values, limit) for w in wheres))):
        parts[record["part"]].append(statement.row(record))
    return parts


async def count_each(model: type[Model], wheres: Sequence[Condition]) -> list[int]:
    """For each condition, how many rows it holds for, in one statement."""
    counts = (
        f"SELECT {number} AS part, count(*) AS n FROM {_table(model)} t{_where(where.sql)}"  # noqa: S608 - see above
        for number, where in enumerate(wheres)
    )
    rows = await query(" UNION ALL ".join(counts), list(chain.from_iterable(where.values for where in wheres)))
    return [row["n"] for row in sorted(rows, key=lambda row: row["part"])]


async def query(sql: str, values: Sequence[Any]) -> list[Row]:
    """The rows of a statement written by hand, its values as `?`, its columns text or numbers."""
    return [dict(record) for record in await _fetch(_numbered(sql, dialect()), values)]


def dialect() -> str:
    return Tortoise.get_connection("default").capabilities.dialect


async def _fetch(sql: str, values: Sequence[Any]) -> Sequence[Any]:
    connection = Tortoise.get_connection("default")
    if connection.capabilities.dialect == "sqlite":
        values = [_as_sqlite_keeps_it(value) for value in values]
    return (await connection.execute_query(sql, list(values)))[1]


def _as_sqlite_keeps_it(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True)
class _Statement:
    sql: str
    shape: tuple[tuple[str | None, str, Callable[[Any], Any] | None], ...]  # which part, which key, how it is read

    def row(self, record: Any) -> Row:
        row: Row = {}
        for index, (part, key, read) in enumerate(self.shape):
            value = record[index]
            if read is not None and value is not None:
                value = read(value)
            if part is None:
                row[key] = value
            else:
                row.setdefault(part, {})[key] = value
        return row


@lru_cache(maxsize=1024)
def _statement(
    model: type[Model], paths: tuple[str, ...], where: str, order: Order, limited: bool, parts: int, dialect: str
) -> _Statement:
    # No value is written into the text: names come from the model, the condition and the order from code.
    joins: dict[str, str] = {}
    columns, shape = [], []
    for number, path in enumerate(paths):
        sql, field = _column(model, path, joins)
        columns.append(f"{sql} AS c{number}")
        part, _, key = path.rpartition(".")
        shape.append((part or None, key, _reader(field, dialect)))
    ordering = ", ".join(f"{_column(model, path, joins)[0]} {direction}" for path, direction in order)
    one = (
        f"SELECT {', '.join(columns)}{{part}} FROM {_table(model)} t{''.join(joins.values())}{_where(where)}"  # noqa: S608
        + (f" ORDER BY {ordering}" if ordering else "")
        + (" LIMIT ?" if limited else "")
    )
    if parts == 1:
        sql = one.replace("{part}", ", 0 AS part")
    else:
        whole = " UNION ALL ".join(
            f"SELECT * FROM ({one.replace('{part}', f', {n} AS part')}) AS p{n}"  # noqa: S608
            for n in range(parts)
        )
        outer = ", ".join(f"c{paths.index(path)} {direction}" for path, direction in order)
        sql = f"{whole} ORDER BY part, {outer}"
    return _Statement(_numbered(sql, dialect), tuple(shape))


def _column(model: type[Model], path: str, joins: dict[str, str]) -> tuple[str, fields.Field[Any]]:
    known = model._meta.fields_map
    part, _, key = path.rpartition(".")
    if not part:
        return f't."{known[key].source_field or key}"', known[key]
    foreign = known[part]
    assert isinstance(foreign, ForeignKeyFieldInstance)  # noqa: S101 - a path through anything else is a slip in code
    target_key = foreign.to_field_instance.model_field_name
    assert foreign.source_field is not None  # noqa: S101 - Tortoise sets both when it binds the models
    assert target_key is not None  # noqa: S101
    if key == target_key:
        return f't."{foreign.source_field}"', known[foreign.source_field]  # the key itself needs no join
    target = foreign.related_model
    on = f'"{part}"."{target_key}" = t."{foreign.source_field}"'
    joins[part] = f' JOIN {_table(target)} "{part}" ON {on}'
    return f'"{part}"."{key}"', target._meta.fields_map[key]


def _table(model: type[Model]) -> str:
    return f'"{model._meta.db_table}"'


def _where(sql: str) -> str:
    return f" WHERE {sql}" if sql else ""


def _numbered(sql: str, dialect: str) -> str:
    if dialect != "postgres":
        return sql
    pieces = sql.split("?")
    return pieces[0] + "".join(f"${number}{piece}" for number, piece in enumerate(pieces[1:], start=1))


def _reader(field: fields.Field[Any], dialect: str) -> Callable[[Any], Any] | None:
    if isinstance(field, fields.UUIDField):
        return str
    if dialect != "sqlite":
        return None
    if isinstance(field, fields.DatetimeField):
        return _utc
    return json.loads if field.field_type is list else None


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
