"""Rows added to several tables at once, all of them or none; and whether the database takes any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tortoise import Model, Tortoise

from models.reads import Condition, dialect, query, select, select_changed
from models.rows import Rows


@dataclass(frozen=True)
class Added:
    """A row of a table, by its columns; with `each`, as many rows as that column has values, alike in the others."""

    table: str
    columns: Mapping[str, Any]
    each: str | None = None

    @property
    def form(self) -> "_Form":
        """What it is but for its values."""
        return self.table, tuple(self.columns), self.each


_Form = tuple[str, tuple[str, ...], str | None]


async def add(model: type[Model], row: Mapping[str, Any], others: Sequence[Added], paths: Sequence[str]) -> Rows:
    """Adds the model's row and those that hang on it; what the paths name of the first, as it is then.

    One statement on PostgreSQL, which needs no transaction around it. On SQLite several, in the caller's transaction.
    Raises IntegrityError.
    """
    first = Added(model._meta.db_table, row)
    if dialect() == "postgres":
        each = (first, *others)
        values = tuple(value for one in each for value in one.columns.values())
        return await select_changed(model, paths, Condition(_as_one(tuple(one.form for one in each)), values))
    for added in (first, *others):
        for columns in _each(added):
            names, places = ", ".join(columns), ", ".join("?" * len(columns))
            await query(f"INSERT INTO {added.table} ({names}) VALUES ({places})", list(columns.values()))  # noqa: S608
    return await select(model, paths, Condition("t.id = ?", (row["id"],)))


async def takes_writes() -> bool:
    """False where the database answers who reads, and nobody who writes. Raises what a read raises."""
    connection: Any = Tortoise.get_connection("default")
    return bool(await connection.takes_writes())


def _each(added: Added) -> list[Mapping[str, Any]]:
    if added.each is None:
        return [added.columns]
    return [{**added.columns, added.each: value} for value in added.columns[added.each]]


@lru_cache(maxsize=64)
def _as_one(forms: tuple[_Form, ...]) -> str:
    """The statement's WITH: see reads.select_changed."""
    return f"WITH {', '.join(f'{form[0]} AS ({_insert(form)} RETURNING *)' for form in forms)} "


def _insert(form: _Form) -> str:
    # PostgreSQL knows the types from the columns, but for those of a SELECT.
    table, columns, each = form
    into = f"INSERT INTO {table} ({', '.join(columns)})"
    if each is None:
        return f"{into} VALUES ({', '.join('?' * len(columns))})"
    places = ("unnest(?::text[])" if name == each else "?::uuid" for name in columns)
    return f"{into} SELECT {', '.join(places)}"
