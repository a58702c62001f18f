"""Rows as they were read: a driver's records, and where in them each column stands."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

Row = dict[str, Any]  # a foreign key's part is a Row of its own: {"title": ..., "creator": {"username": ...}}


class Layout:
    """Which columns the records of a statement have, by their paths, in their order; and what reads their values (None:
    the driver gives them as they are wanted)."""

    def __init__(self, paths: Sequence[str], readers: Sequence[Callable[[Any], Any] | None]) -> None:
        self.positions = {path: position for position, path in enumerate(paths)}
        self.readers = tuple(readers)
        self._parts = [tuple(path.split(".")) for path in paths]

    def row(self, record: Any) -> Row:
        row: Row = {}
        for position, (*through, key) in enumerate(self._parts):
            part = row
            for name in through:
                part = part.setdefault(name, {})
            part[key] = self._value(record, position)
        return row

    def values(self, record: Any, paths: Sequence[str]) -> list[Any]:
        return [self._value(record, self.positions[path]) for path in paths]

    def _value(self, record: Any, position: int) -> Any:
        value, read = record[position], self.readers[position]
        return value if read is None or value is None else read(value)


class Rows(Sequence[Row]):
    """The rows of some records, each made when somebody looks at it: where all of them are looked at, rather iterate.

    Who writes records into an answer as they are needs no rows: see executor/reads.py."""

    def __init__(self, layout: Layout, records: Sequence[Any]) -> None:
        self.layout, self.records = layout, records

    def __iter__(self) -> Iterator[Row]:
        return map(self.layout.row, self.records)

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> "Rows": ...
    def __getitem__(self, at: int | slice) -> "Row | Rows":
        if isinstance(at, slice):
            return Rows(self.layout, self.records[at])
        return self.layout.row(self.records[at])

    def column(self, path: str) -> list[Any]:
        """Of all rows."""
        return [self.layout.values(record, (path,))[0] for record in self.records]

    def values(self, at: int, paths: Sequence[str]) -> list[Any]:
        """Some columns of one row."""
        return self.layout.values(self.records[at], paths)


NO_ROWS = Rows(Layout((), ()), ())
