"""Rows added to several tables at once, all of them or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tortoise import Model

from models.reads import Condition, dialect, query, select, select_from_added
from models.rows import Rows


@dataclass(frozen=True)
class Added:
    """A row of a table, by its columns; with `each`, as many rows as that column has values, alike in the others."""

    table: str
    columns: Mapping[str, Any]
    each: str | None = None


async def add(model: type[Model], row: Mapping[str, Any], others: Sequence[Added], paths: Sequence[str]) -> Rows:
    """Adds the model's row and those that hang on it; what the paths name of the first, as it is then.

    One statement on PostgreSQL, which needs no transaction around it. On SQLite several, in the caller's transaction.
    Raises IntegrityError.
    """
    first = Added(model._meta.db_table, row)
    if dialect() == "postgres":
        return await select_from_added(model, paths, *_as_one(first, others))
    for added in (first, *others):
        for columns in _each(added):
            names, places = ", ".join(columns), ", ".join("?" * len(columns))
            await query(f"INSERT INTO {added.table} ({names}) VALUES ({places})", list(columns.values()))  # noqa: S608
    return await select(model, paths, Condition("t.id = ?", (row["id"],)))


def _each(added: Added) -> list[Mapping[str, Any]]:
    if added.each is None:
        return [added.columns]
    return [{**added.columns, added.each: value} for value in added.columns[added.each]]


def _as_one(first: Added, others: Sequence[Added]) -> tuple[str, list[Any]]:
    """The statement's WITH, in which the first table's rows are called `added`; and its values."""
    parts = [f"added AS ({_insert(first)} RETURNING *)"]
    parts += [f"also{number} AS ({_insert(other)})" for number, other in enumerate(others)]
    values = [value for one in (first, *others) for value in one.columns.values()]
    return f"WITH {', '.join(parts)} ", values


def _insert(added: Added) -> str:
    # PostgreSQL knows the types from the columns, but for those of a SELECT.
    into = f"INSERT INTO {added.table} ({', '.join(added.columns)})"
    if added.each is None:
        return f"{into} VALUES ({', '.join('?' * len(added.columns))})"
    places = ("unnest(?::text[])" if name == added.each else "?::uuid" for name in added.columns)
    return f"{into} SELECT {', '.join(places)}"
