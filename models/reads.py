"""One SELECT for a list, whatever its size: which fields, which condition, which order, how many.

A field is named by its path from the table, such as "title" or "event.creator.username"; what lies behind a foreign
key is joined, and nothing is read that was not named. A model may name computed values too: its `computed` maps each to
SQL, in which `{t}` stands for the table. A condition's SQL names the table `t`, and its values stand as `?`.
Names, conditions' SQL and orders are written in code, never by a client.

A read replica may answer in the primary's place: see models/replica.py.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Literal
from uuid import UUID

from tortoise import Model, Tortoise, fields
from tortoise.fields.relational import ForeignKeyFieldInstance

from models.rows import Layout, Row, Rows

Order = tuple[tuple[str, Literal["ASC", "DESC"]], ...]

_REPLICA: ContextVar[Any] = ContextVar("replica", default=None)


@dataclass(frozen=True)
class Condition:
    """A piece of SQL, and a value for each `?` in it. The empty one holds for every row."""

    sql: str = ""
    values: tuple[Any, ...] = ()

    def __and__(self, other: "Condition") -> "Condition":
        if not (self.sql and other.sql):
            return self if self.sql else other
        return Condition(f"({self.sql}) AND ({other.sql})", self.values + other.values)


@dataclass(frozen=True)
class Way:
    """How rows are read, where `only_if` holds, which names none of them; else there are none."""

    where: Condition
    only_if: Condition = Condition()

    def values(self, limit: int, dialect: str) -> tuple[Any, ...]:
        """In the order in which `sql` names them."""
        if dialect == "postgres":
            return (*self.only_if.values, *self.where.values, limit)
        return (*self.where.values, limit, *self.only_if.values)

    @staticmethod
    def sql(where: str, only_if: str, ordering: str, dialect: str) -> str:
        """All that stands behind the tables."""
        if not only_if:
            return f"{_where(where)}{ordering} LIMIT ?"
        if dialect == "postgres":
            return f"{_where((Condition(only_if) & Condition(where)).sql)}{ordering} LIMIT ?"
        # SQLite asks a condition with a SELECT in it again at every row, and would pass over the whole table.
        return f"{_where(where)}{ordering} LIMIT ? * ({only_if})"


def among(column: str, values: Iterable[Any]) -> Condition:
    """The column has one of the values: the same SQL for any number of them."""
    if dialect() == "postgres":
        return Condition(f"{column} = ANY(?)", (tuple(values),))
    listed = f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608 - a column's name, written in code
    return Condition(listed, (json.dumps(list(values), default=str),))


async def select(
    model: type[Model],
    paths: Sequence[str],
    where: Condition = Condition(),
    order: Order = (),
    limit: int | None = None,
    *,
    fresh: bool = False,
) -> Rows:
    """The rows, in order. Ids are text, instants aware and in UTC, tags a list. What is to be `fresh`, such as who may
    do something, no replica answers."""
    connection, kind = _connection(fresh)
    statement = _statement(model, tuple(paths), kind, ((where.sql, ""),), order, limit is not None)
    values = (*where.values, limit) if limit is not None else where.values
    return Rows(statement.layout, await connection.fetch(statement.sql, _as_kept(values, kind)))


async def select_each(
    model: type[Model],
    paths: Sequence[str],
    ways: Sequence[Sequence[Way]],
    order: Order,
    limit: int,
    sources: Sequence[Condition],
) -> list[Rows]:
    """The rows of each list, in one statement. The lists' ways differ in their values alone, and the order names none
    but selected fields.

    Of a list's ways one alone is open. A source is a SELECT of the table's rows with more columns that stands for the
    table; the empty one is the table.
    """
    forms = tuple((way.where.sql, way.only_if.sql) for way in ways[0])
    connection, kind = _connection()
    statement = _statement(model, tuple(paths), kind, forms, order, True, len(ways), sources[0].sql)
    values: list[Any] = []
    for source, those in zip(sources, ways, strict=True):
        for way in those:
            values += (*source.values, *way.values(limit, kind))
    records = await connection.fetch(statement.sql, _as_kept(values, kind))
    if len(ways) == 1:
        return [Rows(statement.layout, records)]
    parts: list[list[Any]] = [[] for _ in ways]
    for record in records:
        parts[record["part"]].append(record)
    return [Rows(statement.layout, part) for part in parts]


async def select_changed(model: type[Model], paths: Sequence[str], changes: Condition) -> Rows:
    """The model's rows as `changes` leave them, a WITH whose parts change tables and bear these tables' names: so what
    is selected by a name is what was changed. On PostgreSQL alone."""
    connection, kind = _connection()
    statement = _statement(model, tuple(paths), kind, before=changes.sql)
    return Rows(statement.layout, await connection.fetch(statement.sql, list(changes.values)))


async def count_each(model: type[Model], wheres: Sequence[Condition], sources: Sequence[Condition]) -> list[int]:
    """For each condition, how many rows of the source it holds for, in one statement."""
    each = list(zip(sources, wheres, strict=True))
    counts = (
        f"SELECT {number} AS part, count(*) AS n FROM {_from(model, source.sql)} t{_where(where.sql)}"  # noqa: S608 - see above
        for number, (source, where) in enumerate(each)
    )
    values = [(*source.values, *where.values) for source, where in each]
    rows = await query(" UNION ALL ".join(counts), list(chain.from_iterable(values)))
    return [row["n"] for row in sorted(rows, key=lambda row: row["part"])]


async def update(model: type[Model], assignments: Condition, where: Condition, paths: Sequence[str]) -> Rows:
    """Changes the rows that `where` holds for, and answers with their paths (columns of their own) as they are then."""
    layout = _statement(model, tuple(paths), dialect()).layout
    # SQLite knows no alias behind RETURNING.
    names = (_as_read(*_column(model, path, {}), dialect()).removeprefix("t.") for path in paths)
    returned = ", ".join(f"{name} AS c{number}" for number, name in enumerate(names))
    sql = f"UPDATE {_table(model)} AS t SET {assignments.sql}{_where(where.sql)} RETURNING {returned}"  # noqa: S608
    records = await query(sql, assignments.values + where.values)
    return Rows(layout, [tuple(record.values()) for record in records])


async def query(sql: str, values: Sequence[Any], *, fresh: bool = False) -> list[Row]:
    """What a statement written by hand answers or returns: its values as `?`, its columns as the driver reads them. One
    that changes something where a replica may answer has to be `fresh`."""
    connection, kind = _connection(fresh)
    found: list[Row] = await connection.execute_query_dict(_numbered(sql, kind), _as_kept(values, kind))
    return found


async def delete_found(table: str, key: str, found: Condition) -> None:
    """Deletes the rows whose keys a SELECT finds, `found` being all of it behind the table; past those that another
    process is deleting, since waiting for it could end in a deadlock."""
    skip = " FOR UPDATE SKIP LOCKED" if dialect() == "postgres" else ""
    keys = f"SELECT {key} FROM {table} {found.sql}{skip}"  # noqa: S608 - names and conditions are written in code
    await query(f"DELETE FROM {table} WHERE {key} IN ({keys})", found.values)  # noqa: S608


def kind(model: type[Model], path: str) -> type:
    """What a column of the table's own holds; a computed value is a number."""
    if path in getattr(model, "computed", {}):
        return int
    held: type = model._meta.fields_map[path].field_type
    return held


def contains(column: str) -> str:
    """SQL that holds where the column's text has the value of its one `?` in it, character by character."""
    return f"{'strpos' if dialect() == 'postgres' else 'instr'}({column}, ?) > 0"  # no LIKE: it has wildcards


def dialect() -> str:
    return _connection()[1]


@contextmanager
def answered_by(replica: Any) -> Iterator[None]:
    """Whatever is read in here, and in the tasks that begin in here, is read from this client of models/engines. Not
    for what changes anything."""
    before = _REPLICA.set(replica)
    try:
        yield
    finally:
        _REPLICA.reset(before)


def _connection(fresh: bool = False) -> tuple[Any, str]:
    """One of models/engines, or a transaction of theirs that this task is in; and its dialect."""
    connection = (None if fresh else _REPLICA.get()) or Tortoise.get_connection("default")
    return connection, connection.capabilities.dialect


def _as_kept(values: Sequence[Any], dialect: str) -> list[Any]:
    return [_as_sqlite_keeps_it(value) for value in values] if dialect == "sqlite" else list(values)


def _as_sqlite_keeps_it(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True)
class _Statement:
    sql: str
    layout: Layout


@lru_cache(maxsize=1024)
def _statement(
    model: type[Model],
    paths: tuple[str, ...],
    dialect: str,
    ways: tuple[tuple[str, str], ...] = (("", ""),),
    order: Order = (),
    limited: bool = False,
    parts: int = 1,
    source: str = "",
    before: str = "",
) -> _Statement:
    # No value is written into the text: names come from the model, the condition and the order from code.
    joins: dict[str, str] = {}
    found = [_column(model, path, joins) for path in paths]
    columns = [f"{_as_read(sql, field, dialect)} AS c{number}" for number, (sql, field) in enumerate(found)]
    layout = Layout(paths, [_reader(field, dialect) for _, field in found])
    ordering = ", ".join(f"{_column(model, path, joins)[0]} {direction}" for path, direction in order)
    selected, behind = f"SELECT {', '.join(columns)}", f" FROM {_from(model, source)} t{''.join(joins.values())}"
    ordered = f" ORDER BY {ordering}" if ordering else ""
    endings = [
        Way.sql(where, only_if, ordered, dialect) if limited else f"{_where(where)}{ordered}" for where, only_if in ways
    ]
    pieces = [f"{selected}, {part} AS part{behind}{ending}" for part in range(parts) for ending in endings]
    sql = pieces[0]
    if len(pieces) > 1:
        whole = " UNION ALL ".join(f"SELECT * FROM ({piece}) AS p{n}" for n, piece in enumerate(pieces))  # noqa: S608
        outer = ", ".join(f"{_again(model, paths, path, dialect)} {direction}" for path, direction in order)
        sql = f"SELECT * FROM ({whole}) AS parts ORDER BY part, {outer}"  # noqa: S608
    return _Statement(_numbered(before + sql, dialect), layout)


def _column(model: type[Model], path: str, joins: dict[str, str]) -> tuple[str, fields.Field[Any] | None]:
    """The column's SQL, and its field (None for a computed value). Adds the joins that it needs."""
    table = "t"
    *through, key = path.split(".")
    for number, part in enumerate(through):
        foreign = model._meta.fields_map[part]
        assert isinstance(foreign, ForeignKeyFieldInstance)  # noqa: S101 - a path through anything else is a slip in code
        assert foreign.source_field is not None  # noqa: S101 - Tortoise sets it when it binds the models
        target_key = foreign.to_field_instance.model_field_name
        if number == len(through) - 1 and key == target_key:
            key = foreign.source_field  # the key itself needs no join
            break
        alias = f'"{".".join(through[: number + 1])}"'
        on = f'{alias}."{target_key}" = {table}."{foreign.source_field}"'
        joins[alias] = f" JOIN {_table(foreign.related_model)} {alias} ON {on}"
        model, table = foreign.related_model, alias
    if computed := getattr(model, "computed", {}).get(key):
        return str(computed).replace("{t}", table), None
    known = model._meta.fields_map[key]
    return f'{table}."{known.source_field or key}"', known


def _as_read(sql: str, field: fields.Field[Any] | None, dialect: str) -> str:
    # An id is wanted as text, and PostgreSQL writes it sooner than Python does.
    return f"{sql}::text" if dialect == "postgres" and isinstance(field, fields.UUIDField) else sql


def _again(model: type[Model], paths: Sequence[str], path: str, dialect: str) -> str:
    """A column of the parts, by which the whole is put in order again."""
    is_text_now = dialect == "postgres" and kind(model, path) is UUID
    return f"c{paths.index(path)}" + (' COLLATE "C"' if is_text_now else "")


def _table(model: type[Model]) -> str:
    return f'"{model._meta.db_table}"'


def _from(model: type[Model], source: str) -> str:
    return f"({source})" if source else _table(model)


def _where(sql: str) -> str:
    return f" WHERE {sql}" if sql else ""


def _numbered(sql: str, dialect: str) -> str:
    if dialect != "postgres":
        return sql
    pieces = sql.split("?")
    return pieces[0] + "".join(f"${number}{piece}" for number, piece in enumerate(pieces[1:], start=1))


def _reader(field: fields.Field[Any] | None, dialect: str) -> Callable[[Any], Any] | None:
    if dialect != "sqlite":
        return None
    if isinstance(field, fields.DatetimeField):
        return _utc
    return json.loads if field is not None and field.field_type is list else None


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
