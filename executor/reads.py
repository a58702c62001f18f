"""What a plan needs of a table, and how rows that were read are written into the answer as they are.

A GraphQL type that stands on a table says so (FromRow): each of its fields without a resolver is a column of the same
name, or what lies behind a foreign key of the same name. A field with a resolver says which columns the resolver looks
at: `strawberry.field(metadata=reads("capacity", "confirmed_count"))`. From that and from a document's selection follow
the columns of the one SELECT; and where all that is asked for are columns, the shape in which JSON wants its rows.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    SelectionSetNode,
)
from graphql.execution.values import VariableValues
from strawberry.types.info import Info
from strawberry.utils.str_converters import to_camel_case

from executor.conditions import is_included

Before = Callable[[Any], Awaitable[None]]
_READS, _BEFORE = "reads", "before"


def reads(*columns: str, before: Before | None = None) -> dict[str, Any]:
    """The mark of a field whose resolver looks at these columns of its object's row, besides the id. `before` is called
    with the context and awaited, once and before any field is resolved, in every operation that asks for the field: so
    its resolver need not wait, which would take a task for each row."""
    return {_READS: columns, _BEFORE: before}


def before_of(definition: GraphQLField) -> Before | None:
    """What is to be awaited before an operation that asks for this field."""
    made_of: Any = definition.extensions.get("strawberry-definition")
    before: Before | None = getattr(made_of, "metadata", {}).get(_BEFORE)
    return before


def befores_in(schema: GraphQLSchema) -> set[Before]:
    """Those of all fields there are."""
    fields = [field for type_ in schema.type_map.values() for field in getattr(type_, "fields", {}).values()]
    return {before for field in fields if (before := before_of(field))}


class FromRow:
    """A GraphQL type that stands on a table, as the module says."""

    _columns: "ClassVar[Columns | None]" = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The object of a row, with what was selected alone: past __init__, which wants every field."""
        made = object.__new__(cls)
        made.__dict__.update(row)
        for name, part in cls.columns().parts.items():
            if name in row:
                made.__dict__[name] = part.of(row[name])
        return made

    @classmethod
    async def look_ahead(cls, rows: Any, asked: "Selection", info: Any) -> None:
        """Reads, for all rows of a list at once, what a field of each would else have to wait for. Raises Refusal."""

    @classmethod
    def columns(cls) -> "Columns":
        known: Columns | None = cls.__dict__.get("_columns")
        if known is None:  # not as soon as the class is there: Strawberry has yet to look at it
            cls._columns = known = Columns(cls)
        return known


class Columns:
    """What the fields of a type that stands on a table have to do with its columns."""

    def __init__(self, type_: Any) -> None:
        fields = type_.__strawberry_definition__.fields
        self._fields = {field.graphql_name or to_camel_case(field.python_name): field for field in fields}
        plain = {field.python_name: field.type for field in fields if field.base_resolver is None}
        # What lies behind foreign keys, by the keys' names.
        self.parts: dict[str, type[FromRow]] = {
            name: part for name, part in plain.items() if isinstance(part, type) and issubclass(part, FromRow)
        }

    def paths(self, asked: "Selection") -> Iterator[str]:
        for name, below in asked.items():
            field = self._fields.get(name)
            if field is None:
                continue  # __typename
            if field.base_resolver is not None:
                yield from field.metadata.get(_READS, ())
            elif part := self.parts.get(field.python_name):
                yield from (f"{field.python_name}.{path}" for path in below.paths(part))
            else:
                yield field.python_name


class Layout(Protocol):
    """Where in a record each column stands, by its path, and what reads its value (None: it is taken as it is)."""

    @property
    def positions(self) -> Mapping[str, int]: ...
    @property
    def readers(self) -> Sequence[Callable[[Any], Any] | None]: ...


class Rows(Protocol):
    """What a SELECT read: its records, and as a sequence its rows."""

    @property
    def layout(self) -> Layout: ...
    @property
    def records(self) -> Sequence[Any]: ...
    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...
    def __len__(self) -> int: ...


class FromRows(Collection[Any]):
    """The objects of rows, each made when somebody looks at it. A plan whose selection has a shape never does. In the
    place of one object: that of the only row."""

    def __init__(self, rows: Rows, type_: type[FromRow]) -> None:
        self.rows, self._type = rows, type_

    def __iter__(self) -> Iterator[Any]:
        return map(self._type.of, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, item: object) -> bool:
        return any(item is one for one in self)


def the_one(rows: Rows, type_: type[FromRow], info: Info[Any, Any]) -> Any:
    """The object of the only row; None where there is no row."""
    if not rows:
        return None
    return FromRows(rows, type_) if _site(info) else next(iter(FromRows(rows, type_)))


class Shape:
    """How a row is written: each key of the answer to the name of a column, to the name of a foreign key with the Shape
    of what lies behind it, or to text that is the same for all rows."""

    def __init__(self, keys: "Mapping[str, str | tuple[str, Shape] | Same]") -> None:
        self._keys = keys
        self._writers: dict[int, tuple[Layout, Callable[[Sequence[Any]], list[Any]]]] = {}

    def write(self, rows: Rows) -> list[dict[str, Any]]:
        known = self._writers.get(id(rows.layout))
        if known is None:
            if len(self._writers) >= _MOST_WRITERS:
                self._writers.clear()
            # With its layout, which is thereby kept: else another could come to have the same id.
            known = self._writers[id(rows.layout)] = (rows.layout, self._writer(rows.layout))
        return known[1](rows.records)

    def _writer(self, layout: Layout) -> Callable[[Sequence[Any]], list[Any]]:
        # Twenty rows of ten columns are 200 values, and a call for each would cost more than PostgreSQL's client does.
        # So the keys become one expression of Python, such as [{"id": r[0], "title": r[1]} for r in records]. All that
        # it is made of are names of GraphQL, quoted, and numbers.
        readers = {f"read{at}": read for at, read in enumerate(layout.readers) if read}
        source = f"lambda records: [{self._expression(layout, '')} for r in records]"
        writer: Callable[[Sequence[Any]], list[Any]] = eval(source, readers)  # noqa: S307 - see above
        return writer

    def _expression(self, layout: Layout, prefix: str) -> str:
        return f"{{{', '.join(f'{key!r}: {self._value(what, layout, prefix)}' for key, what in self._keys.items())}}}"

    @staticmethod
    def _value(what: "str | tuple[str, Shape] | Same", layout: Layout, prefix: str) -> str:
        if isinstance(what, Same):
            return repr(what.text)
        if isinstance(what, tuple):
            foreign, shape = what
            return shape._expression(layout, f"{prefix}{foreign}.")
        at = layout.positions[prefix + what]
        return f"(None if r[{at}] is None else read{at}(r[{at}]))" if layout.readers[at] else f"r[{at}]"


_MOST_WRITERS = 16  # layouts that one selection meets: one, but for lists of more than one kind


class Same:
    """Text that is the same for all rows, such as __typename."""

    def __init__(self, text: str) -> None:
        self.text = text


class Selection(dict[str, "Selection"]):
    """What is asked below a field: each name to what is asked below that. Aliases of one field are merged, fragments
    spelled out, @include and @skip worked out."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._paths: dict[type[FromRow], tuple[str, ...]] = {}
        self._below: dict[tuple[str, ...], Selection] = {}

    def paths(self, type_: type[FromRow]) -> tuple[str, ...]:
        """The columns that objects of the type are to have, the id among them. Worked out once in a plan's life."""
        if type_ not in self._paths:
            self._paths[type_] = tuple(dict.fromkeys(["id", *type_.columns().paths(self)]))
        return self._paths[type_]

    def below(self, *ways: str) -> "Selection":
        """What is asked below any of these dotted ways, such as "nodes" and "edges.node"."""
        if ways not in self._below:
            whole = Selection()
            for way in ways:
                found = self
                for name in way.split("."):
                    found = found.get(name, Selection())
                whole = whole._with(found)
            self._below[ways] = whole
        return self._below[ways]

    def _with(self, other: "Selection") -> "Selection":
        return Selection({**self, **{name: self.get(name, Selection())._with(other[name]) for name in other}})

    @classmethod
    def of(
        cls, nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode], variables: VariableValues
    ) -> "Selection":
        """What the nodes of a field ask."""
        whole = cls()
        for node in nodes:
            if node.selection_set:
                whole._collect(node.selection_set, fragments, variables)
        return whole

    def _collect(
        self, asked: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], variables: VariableValues
    ) -> None:
        for node in asked.selections:
            if not is_included(node, variables):
                continue
            if isinstance(node, FieldNode):
                below = self.setdefault(node.name.value, Selection())
                if node.selection_set:
                    below._collect(node.selection_set, fragments, variables)
            elif isinstance(node, FragmentSpreadNode):
                self._collect(fragments[node.name.value].selection_set, fragments, variables)
            else:  # an inline fragment: of whichever type, for more columns than are needed do no harm
                self._collect(node.selection_set, fragments, variables)  # type: ignore[attr-defined]


def is_alone(info: Info[Any, Any]) -> bool:
    """Whether the operation asks nothing else of this field's resolver, with which its reads could be shared."""
    site = _site(info)
    return site is not None and site.is_alone


def selection(info: Info[Any, Any]) -> Selection:
    """What is asked below the field that is being resolved. Worked out once in the life of its plan, in which
    conditions always say the same; where graphql-core runs the document, each time."""
    site, raw = _site(info), info._raw_info
    if site is None:
        return Selection.of(raw.field_nodes, raw.fragments, raw.variable_values)
    if site.selection is None:
        site.selection = Selection.of(raw.field_nodes, raw.fragments, raw.variable_values)
    known: Selection = site.selection
    return known


def _site(info: Info[Any, Any]) -> Any:
    """The plan's place of the field; None where no plan runs it. See plan.py."""
    return getattr(info._raw_info, "site", None)
