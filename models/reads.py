"""One SELECT for a list, whatever its size: which fields, which condition, which order, how many.

A field is named by its path from the table, such as "title" or "event.creator.username"; what lies behind a foreign
key is joined, and nothing is read that was not named. A model may name computed values too: its `computed` maps each to
SQL, in which `{t}` stands for the table. A condition's SQL names the table `t`, and its values stand as `?`.
Names, conditions' SQL and orders are written in code, never by a client.
"""

import json
from collections.abc import Callable, Iterable, Sequence
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


@dataclass(frozen=True)
class Way:
    """How rows are read, where `only_if` holds, which names none of them; else there are none."""

    where: Condition
    only_if: Condition = Condition()

    def values(self, limit: int) -> tuple[Any, ...]:
        """In the order in which `sql` names them."""
        if dialect() == "postgres":
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
) -> list[Row]:
    """The rows, in order. Ids are text, instants aware and in UTC, tags a list."""
    statement = _statement(model, tuple(paths), _Form(((where.sql, ""),), order, limit is not None), dialect())
    values = [*where.values, limit] if limit is not None else where.values
    return [statement.row(record) for record in await _fetch(statement.sql, values)]


async def select_each(
    model: type[Model],
    paths: Sequence[str],
    ways: Sequence[Sequence[Way]],
    order: Order,
    limit: int,
    sources: Sequence[Condition],
) -> list[list[Row]]:
    """The rows of each list, in one statement. The lists' ways differ in their values alone, and the order names none
    but selected fields.

    Of a list's ways one alone is open. A source is a SELECT of the table's rows with more columns that stands for the
    table; the empty one is the table.
    """
    forms = tuple((way.where.sql, way.only_if.sql) for way in ways[0])
    statement = _statement(model, tuple(paths), _Form(forms, order, True, len(ways), sources[0].sql), dialect())
    parts: list[list[Row]] = [[] for _ in ways]
    each = ((source, way) for source, those in zip(sources, ways, strict=True) for way in those)
    values = chain.from_iterable((*source.values, *way.values(limit)) for source, way in each)
    for record in await _fetch(statement.sql, list(values)):
        parts[record["part"]].append(statement.row(record))
    return parts


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


async def update(model: type[Model], assignments: Condition, where: Condition, paths: Sequence[str]) -> list[Row]:
    """Changes the rows that `where` holds for, and answers with their paths (columns of their own) as they are then."""
    shape = _statement(model, tuple(paths), _Form(), dialect()).shape
    # SQLite knows no alias behind RETURNING.
    names = (_column(model, path, {})[0].removeprefix("t.") for path in paths)
    returned = ", ".join(f"{name} AS c{number}" for number, name in enumerate(names))
    sql = f"UPDATE {_table(model)} AS t SET {assignments.sql}{_where(where.sql)} RETURNING {returned}"  # noqa: S608
    records = await query(sql, assignments.values + where.values)
    return [_Statement(sql, shape).row(tuple(record.values())) for record in records]


async def query(sql: str, values: Sequence[Any]) -> list[Row]:
    """What a statement written by hand answers or returns: its values as `?`, its columns as the driver reads them."""
    connection = Tortoise.get_connection("default")
    return await connection.execute_query_dict(_numbered(sql, dialect()), _as_kept(values))


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
    return Tortoise.get_connection("default").capabilities.dialect


async def _fetch(sql: str, values: Sequence[Any]) -> Sequence[Any]:
    return (await Tortoise.get_connection("default").execute_query(sql, _as_kept(values)))[1]


def _as_kept(values: Sequence[Any]) -> list[Any]:
    return [_as_sqlite_keeps_it(value) for value in values] if dialect() == "sqlite" else list(values)


def _as_sqlite_keeps_it(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return str(value) if isinstance(value, UUID) else value


@dataclass(frozen=True)
class _Form:
    """What a statement is, but for its table, its columns and its values."""

    ways: tuple[tuple[str, str], ...] = (("", ""),)
    order: Order = ()
    limited: bool = False
    parts: int = 1
    source: str = ""


@dataclass(frozen=True)
class _Statement:
    sql: str
    shape: tuple[tuple[tuple[str, ...], str, Callable[[Any], Any] | None], ...]  # in which part, which key, how read

    def row(self, record: Any) -> Row:
        row: Row = {}
        for index, (parts, key, read) in enumerate(self.shape):
            value = record[index]
            if read is not None and value is not None:
                value = read(value)
            target = row
            for part in parts:
                target = target.setdefault(part, {})
            target[key] = value
        return row


@lru_cache(maxsize=1024)
def _statement(model: type[Model], paths: tuple[str, ...], form: _Form, dialect: str) -> _Statement:
    # No value is written into the text: names come from the model, the condition and the order from code.
    joins: dict[str, str] = {}
    columns, shape = [], []
    for number, path in enumerate(paths):
        sql, field = _column(model, path, joins)
        columns.append(f"{sql} AS c{number}")
        *into, key = path.split(".")
        shape.append((tuple(into), key, _reader(field, dialect)))
    ordering = ", ".join(f"{_column(model, path, joins)[0]} {direction}" for path, direction in form.order)
    before, behind = f"SELECT {', '.join(columns)}", f" FROM {_from(model, form.source)} t{''.join(joins.values())}"
    ordered = f" ORDER BY {ordering}" if ordering else ""
    endings = [
        Way.sql(where, only_if, ordered, dialect) if form.limited else f"{_where(where)}{ordered}"
        for where, only_if in form.ways
    ]
    pieces = [f"{before}, {part} AS part{behind}{ending}" for part in range(form.parts) for ending in endings]
    sql = pieces[0]
    if len(pieces) > 1:
        whole = " UNION ALL ".join(f"SELECT * FROM ({piece}) AS p{n}" for n, piece in enumerate(pieces))  # noqa: S608
        outer = ", ".join(f"c{paths.index(path)} {direction}" for path, direction in form.order)
        sql = f"{whole} ORDER BY part, {outer}"
    return _Statement(_numbered(sql, dialect), tuple(shape))


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
    if isinstance(field, fields.UUIDField):
        return str
    if dialect != "sqlite":
        return None
    if isinstance(field, fields.DatetimeField):
        return _utc
    return json.loads if field is not None and field.field_type is list else None


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
