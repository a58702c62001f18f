"""Documents over a schema, made up out of choices: all that GraphQL lets a client write, with variables to match.

hypothesis-graphql was tried: its documents have no fragment, alias, directive or variable, and take 39 ms each.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    OperationType,
    SchemaMetaFieldDef,
    TypeMetaFieldDef,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from hypothesis import strategies as st

from tests.executor.oracle import Asked

Values = Mapping[str, Sequence[Any]]
DEEPEST = 10  # levels of fields
DEEPEST_IN_INTROSPECTION = 4  # where each level can hold the whole schema once more
CHOICES = 160  # in a document; past them it is the plainest ones that are made
PLAIN: Values = {
    "Int": (1, 0, 7, 2**31 - 1, -3),
    "String": ("a", "", 'ü"\\\n', "Long " * 9),
    "ID": ("1", 2, "x"),
    "Boolean": (True, False),
    "DateTime": ("2026-01-01T00:00:00Z", "never"),
    "TimeZone": ("Europe/Berlin", "nowhere"),
    "URL": ("https://example.com/a", "none"),
}


class Choices:
    """Bytes, each taken for a choice. Where they run out it is always the first: so Hypothesis, which tries smaller
    ones, ends with the plainest document that still fails."""

    def __init__(self, given: bytes) -> None:
        self._left = iter(given)

    def below(self, number: int) -> int:
        return next(self._left, 0) % number

    def of(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]

    def is_one_in(self, number: int) -> bool:
        return self.below(number) == number - 1


class Bare(str):
    """Stands in a document without quotes: the name of an enum's value, or a variable."""


def documents(
    schema: GraphQLSchema, kinds: Sequence[OperationType] = (OperationType.QUERY,), values: Values = PLAIN
) -> st.SearchStrategy[Asked]:
    """`values` has those to choose from, by the name of an argument or of a scalar."""
    given = st.binary(min_size=CHOICES, max_size=CHOICES)
    return given.map(lambda choices: Writer(schema, Choices(choices), {**PLAIN, **values}).document(kinds))


class Writer:
    """Writes one document. In it a key of the answer always means the same field with the same arguments of a type:
    else two selections that are merged would contradict each other."""

    def __init__(self, schema: GraphQLSchema, choices: Choices, values: Values) -> None:
        self._schema, self._choices, self._values = schema, choices, values
        self._asked: dict[tuple[str, str], tuple[str, str]] = {}  # type and key: field and arguments
        self._fragments: list[tuple[str, str, int, str]] = []  # name, type, levels, text
        self._declared: dict[str, str] = {}  # variables: type and default
        self._given: dict[str, Any] = {}
        self._is_careless = choices.is_one_in(12)  # about the values of variables

    def document(self, kinds: Sequence[OperationType]) -> Asked:
        kind: OperationType = self._choices.of(kinds)
        root = self._schema.get_root_type(kind)
        assert root is not None
        if kind is OperationType.SUBSCRIPTION:  # has one field, which no condition may leave out
            selections = f"{{ {self._field(root, DEEPEST, '')} }}"
        else:
            selections = self._selections(root, DEEPEST, 1 + self._choices.below(5))
        declared = ", ".join(f"${name}: {text}" for name, text in self._declared.items())
        variables = f"({declared})" if declared else ""
        parts = [f"{kind.value} Asked{variables} {selections}", *(text for *_, text in self._fragments)]
        has_others = self._choices.is_one_in(8)
        if has_others:
            parts.append("query Another { __typename }")
        is_named = has_others or self._choices.is_one_in(2)
        return Asked("\n".join(parts), self._given, "Asked" if is_named else None)

    def _selections(self, type_: GraphQLObjectType, levels: int, number: int) -> str:
        return f"{{ {' '.join(self._selection(type_, levels) for _ in range(number))} }}"

    def _some(self, type_: GraphQLObjectType, levels: int) -> str:
        return self._selections(type_, levels, 1 + self._choices.below(4))

    def _selection(self, type_: GraphQLObjectType, levels: int) -> str:
        which = self._choices.below(10)
        if which == 7:
            on = self._choices.of(["", f"on {type_} "])
            return f"... {on}{self._conditions()}{self._some(type_, levels)}"
        if which == 8:
            return f"...{self._fragment(type_, levels)} {self._conditions()}"
        if which == 9:
            return f"{self._choices.of(['', 't: '])}__typename {self._conditions()}"
        return self._field(type_, levels, self._conditions())

    def _fragment(self, type_: GraphQLObjectType, levels: int) -> str:
        """The name of one on the type: one that is there, or a new one."""
        fitting = [name for name, on, its, _ in self._fragments if on == type_.name and its <= levels]
        if fitting and self._choices.is_one_in(2):
            return str(self._choices.of(fitting))
        text = self._some(type_, levels)
        name = f"F{len(self._fragments)}"
        self._fragments.append((name, type_.name, levels, f"fragment {name} on {type_} {text}"))
        return name

    def _field(self, type_: GraphQLObjectType, levels: int, conditions: str) -> str:
        fields = self._fields(type_, levels)
        name = self._choices.of(list(fields))
        key = self._choices.of([name, name, name, "a", "b", self._choices.of(list(fields))])
        if (type_.name, key) not in self._asked:
            self._asked[type_.name, key] = name, self._arguments(fields[name].args)
        name, arguments = self._asked[type_.name, key]
        if name not in fields:
            return f"__typename {conditions}"  # it has a selection, for which no levels are left
        alias = "" if key == name else f"{key}: "
        below = get_named_type(fields[name].type)
        selections = ""
        if isinstance(below, GraphQLObjectType):
            left = min(levels, DEEPEST_IN_INTROSPECTION) if below.name.startswith("__") else levels
            selections = self._some(below, left - 1)
        return f"{alias}{name}{arguments} {conditions}{selections}"

    def _fields(self, type_: GraphQLObjectType, levels: int) -> dict[str, GraphQLField]:
        """Leaves first."""
        fields = dict(type_.fields)
        if type_ is self._schema.query_type:
            fields |= {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}
        leaves = {name: field for name, field in fields.items() if is_leaf_type(get_named_type(field.type))}
        if levels > 1:
            return leaves | fields
        return leaves or {"__typename": self._schema.get_field(type_, "__typename")}

    def _conditions(self) -> str:
        if not self._choices.is_one_in(5):
            return ""
        conditions = ""
        for name in self._choices.of([("include",), ("skip",), ("include", "skip")]):
            condition = self._choices.of(["true", "false", "$"])
            if condition == "$":
                condition = self._variable(self._schema.get_directive(name).args["if"].type, "if")  # type: ignore[union-attr]
            conditions += f"@{name}(if: {condition}) "
        return conditions

    def _arguments(self, definitions: Mapping[str, GraphQLArgument]) -> str:
        given = self._values_of(definitions, may_hold_variables=True)
        return f"({', '.join(f'{name}: {_written(value)}' for name, value in given.items())})" if given else ""

    def _values_of(self, definitions: Mapping[str, Any], *, may_hold_variables: bool) -> dict[str, Any]:
        return {
            name: self._value(one.type, name, may_hold_variables=may_hold_variables)
            for name, one in definitions.items()
            if (is_non_null_type(one.type) and one.default is None) or self._choices.is_one_in(2)
        }

    def _value(self, type_: Any, name: str, *, may_hold_variables: bool) -> Any:
        if may_hold_variables and self._choices.is_one_in(3):
            return Bare(self._variable(type_, name))
        if not is_non_null_type(type_) and self._choices.is_one_in(6):
            return None
        type_ = type_.of_type if is_non_null_type(type_) else type_
        if is_list_type(type_):
            items = [
                self._value(type_.of_type, name, may_hold_variables=may_hold_variables)
                for _ in range(self._choices.below(4))
            ]
            stands_for_a_list = len(items) == 1 and not (items[0] is None or str(items[0]).startswith("$"))
            return items[0] if stands_for_a_list and self._choices.is_one_in(2) else items
        if isinstance(type_, GraphQLInputObjectType):
            return self._values_of(type_.fields, may_hold_variables=may_hold_variables)
        if isinstance(type_, GraphQLEnumType):
            return Bare(self._choices.of(list(type_.values)))
        return self._choices.of(self._values.get(name) or self._values[type_.name])

    def _variable(self, type_: Any, name: str) -> str:
        """One that may stand where the type is wanted, with a value, no value, or null."""
        nullable = type_.of_type if is_non_null_type(type_) else type_
        declared, default = self._choices.of([(type_, False), (GraphQLNonNull(nullable), False), (nullable, True)])
        text = str(declared)
        if default:  # which is not null where the type is not: so a nullable variable may stand there
            text += f" = {_written(self._value(type_, name, may_hold_variables=False))}"
        known = next((one for one, of in self._declared.items() if of == text), None)
        if known and self._choices.is_one_in(2):
            return f"${known}"
        variable = f"{name}{len(self._declared)}"
        self._declared[variable] = text
        self._give(variable, declared, name)
        return f"${variable}"

    def _give(self, variable: str, declared: Any, name: str) -> None:
        if self._is_careless and self._choices.is_one_in(2):
            wrong = self._choices.of([_NOTHING, None, {"no": 1}, [[]], "none", -1.5, 2**40])
            if wrong is not _NOTHING:
                self._given[variable] = wrong
        elif is_non_null_type(declared) or not self._choices.is_one_in(3):
            self._given[variable] = self._value(declared, name, may_hold_variables=False)


_NOTHING = object()


def _written(value: Any) -> str:
    """As a document has it."""
    if isinstance(value, Bare):
        return value
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_written(one)}' for name, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value)
