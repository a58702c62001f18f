"""How much a document asks for: its depth, and how many values its answer may hold. Refuses past the limits.

One pass over the operation and one over the document, each fragment measured once: linear in the document's length,
whatever the fragments spell out. It runs before validation, so it takes nothing for granted, and leaves what does not
fit to that.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    VariableNode,
    get_named_type,
)
from graphql.utilities.coerce_input_value import coerce_default_value

from errors import QueryTooComplex

PAGE_ARGUMENT = "first"
# What shares a place in the answer, validation compares each with each. Most of it is quick; what differs takes 8 us.
MOST_REPEATS, MOST_PAIRS = 100, 10_000
MOST_SELECTIONS = 4_000  # spelled out: a plan of 20,000 fields takes 0.2 s to compile, and 7 MB
COUNTLESS = 2**31 - 1  # counting goes no further: fragments can spell out more than a number in JSON may say
_META_FIELDS = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


@dataclass(frozen=True)
class Limits:
    """`cost` bounds the values that an answer may hold; `page` is the largest `first` that resolvers take; `once` names
    the fields of which an operation may have one in all, since each of them is dear in itself.

    `weights` and `lists` go by coordinates, such as "Query.tags": what a field costs that is dearer than the one value
    it is, and how many entries a list is taken to have that has no `first`.
    """

    tokens: int
    depth: int
    cost: int
    page: int
    once: frozenset[str]
    weights: Mapping[str, int] = field(default_factory=dict)
    lists: Mapping[str, int] = field(default_factory=dict)

    def refuse(self, measure: "Measure") -> None:
        """Raises QueryTooComplex."""
        for name, size, limit in (
            ("levels", measure.depth, self.depth),
            ("values in its answer, at most", measure.cost, self.cost),
            (f"fields of {', '.join(sorted(self.once))}", measure.once, 1),
            ("repeats of one field", measure.repeats, MOST_REPEATS),
            ("pairs of fields in one place of its answer", measure.pairs, MOST_PAIRS),
            ("selections, fragments spelled out", measure.selections, MOST_SELECTIONS),
        ):
            if size > limit:
                raise QueryTooComplex(name, size, limit)

    def refuse_variables(self, given: Mapping[str, Any]) -> None:
        """Raises QueryTooComplex where they hold more values than a document may have tokens: it could say no more
        itself. A megabyte of nulls takes half a second to coerce."""
        counted, pending = 0, [iter(given.values())]
        while pending:
            for value in pending.pop():
                counted += 1
                if isinstance(value, dict | list):
                    pending.append(iter(value.values() if isinstance(value, dict) else value))
                if counted > self.tokens:
                    raise QueryTooComplex("values in its variables, at least", counted, self.tokens)


@dataclass(frozen=True)
class Measure:
    depth: int
    cost: int
    once: int
    repeats: int  # of one field that has a selection, in one place of the answer
    pairs: int  # of fields in one place, which validation compares
    selections: int  # where each fragment is spelled out at each place: a plan has no more fields
    variables: tuple[str, ...]  # whose values it depends on

    @classmethod
    def of(
        cls,
        operation: OperationDefinitionNode | None,
        document: DocumentNode,
        schema: GraphQLSchema,
        variables: Mapping[str, Any],
        limits: Limits,
    ) -> "Measure":
        """The measure of one operation of the document, which need not be valid."""
        if operation is None:
            return cls(0, 0, 0, *_repeats(document), 0, ())
        defaults = {one.variable.name.value: _whole(one.default_value) for one in operation.variable_definitions or ()}
        fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
        walk = _Walk(schema, fragments, {**defaults, **variables}, limits)
        size = walk.selections(operation.selection_set, schema.get_root_type(operation.operation))
        return cls(size.depth, size.cost, size.once, *_repeats(document), size.selections, tuple(walk.met))


class _Size(NamedTuple):
    depth: int
    cost: int
    once: int
    selections: int


@dataclass
class _Walk:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    limits: Limits
    met: dict[str, None] = field(default_factory=dict)  # the variables that say how large a page is
    _known: dict[str, _Size] = field(default_factory=dict)

    def selections(self, node: SelectionSetNode, parent: GraphQLNamedType | None) -> _Size:
        depth = cost = once = 0
        selections = len(node.selections)
        for selection in node.selections:
            size = self._selection(selection, parent)
            depth, cost, once = max(depth, size.depth), cost + size.cost, once + size.once
            selections += size.selections
        return _Size(depth, min(cost, COUNTLESS), min(once, COUNTLESS), min(selections, COUNTLESS))

    def _selection(self, node: Any, parent: GraphQLNamedType | None) -> _Size:
        if isinstance(node, FieldNode):
            return self._field(node, parent)
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        assert isinstance(node, InlineFragmentNode)  # noqa: S101 - there is no fourth kind of selection
        condition = node.type_condition
        return self.selections(node.selection_set, self.schema.get_type(condition.name.value) if condition else parent)

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> _Size:
        name = node.name.value
        definition: GraphQLField | None = getattr(parent, "fields", {}).get(name) or _META_FIELDS.get(name)
        coordinates = f"{parent.name}.{name}" if parent else ""
        once, weight = int(name in self.limits.once), self.limits.weights.get(coordinates, 1)
        if not node.selection_set:
            return _Size(1, weight, once, 0)
        below = self.selections(node.selection_set, get_named_type(definition.type) if definition else None)
        size = self._page_size(node, definition) * self.limits.lists.get(coordinates, 1)
        return _Size(1 + below.depth, weight + size * below.cost, once + below.once, below.selections)

    def _fragment(self, name: str) -> _Size:
        if name not in self._known:
            self._known[name] = _Size(0, 0, 0, 0)  # for a fragment that spreads itself, which validation refuses
            if definition := self.fragments.get(name):
                type_ = self.schema.get_type(definition.type_condition.name.value)
                self._known[name] = self.selections(definition.selection_set, type_)
        return self._known[name]

    def _page_size(self, node: FieldNode, definition: GraphQLField | None) -> int:
        """How many times a field's selection may be answered: what `first` says, or its default."""
        if definition is None or PAGE_ARGUMENT not in definition.args:
            return 1
        given = next((one.value for one in node.arguments or () if one.name.value == PAGE_ARGUMENT), None)
        if isinstance(given, VariableNode):
            self.met[given.name.value] = None
            size = self.variables.get(given.name.value)
        else:
            size = _whole(given)
        if size is None:
            size = coerce_default_value(definition.args[PAGE_ARGUMENT])
        if isinstance(size, float) and size.is_integer():
            size = int(size)  # JSON's 100.0 is an Int to GraphQL
        # What is no size, or too large a one, is refused where it is used: it makes nothing dear.
        return min(size, self.limits.page) if isinstance(size, int) and size > 0 else 1


def _whole(node: Any) -> int | None:
    # Python reads no more than 4,300 digits, and GraphQL's Int has 10.
    return int(node.value) if isinstance(node, IntValueNode) and len(node.value) <= 10 else None


def _repeats(document: DocumentNode) -> tuple[int, int]:
    """How often one field with a selection is asked for in one place of the answer, and how many pairs of fields share
    places. Operations and fragments are all taken to stand in the same place, since nobody knows yet what is spread
    where: so it is never too few."""
    places: dict[tuple[int, str], int] = {}  # by the place above, and the name there
    fields: Counter[int] = Counter()
    selections: Counter[int] = Counter()
    pending = [(below, 0) for one in document.definitions if (below := getattr(one, "selection_set", None))]
    while pending:
        asked, above = pending.pop()
        for node in asked.selections:
            place = above
            if isinstance(node, FieldNode):
                place = places.setdefault((above, (node.alias or node.name).value), len(places) + 1)
                fields[place] += 1
            if below := getattr(node, "selection_set", None):
                pending.append((below, place))
                selections[place] += isinstance(node, FieldNode)
    return max(selections.values(), default=0), sum(count * (count - 1) // 2 for count in fields.values())


def operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation that is to be executed, where it is plain which."""
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    named = [one for one in operations if one.name and one.name.value == name] if name else operations
    return named[0] if len(named) == 1 else None
