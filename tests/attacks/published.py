"""The published schema, as an attacker reads it: every field of it, with arguments that fit."""

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)

Path = tuple[str, ...]
FITTING: dict[str, Any] = {
    "ID": "00000000-0000-7000-8000-000000000000",
    "String": "any text",
    "Int": 1,
    "Float": 1.5,
    "Boolean": True,
    "DateTime": "2026-12-01T10:00:00Z",
    "TimeZone": "Europe/Berlin",
    "URL": "https://example.org/poster.png",
}


class Published:
    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.roots: dict[str, dict[str, GraphQLField]] = {
            kind: dict(root.fields)
            for kind, root in (
                ("query", schema.query_type),
                ("mutation", schema.mutation_type),
                ("subscription", schema.subscription_type),
            )
            if root
        }

    def call(self, kind: str, name: str, at: Path = (), value: object = None) -> tuple[str, dict[str, Any]]:
        """Document and variables that call the root field with what it requires, and with `value` at the argument, or
        at the field of one, that `at` names."""
        field = self.roots[kind][name]
        given = {key: one for key, one in field.args.items() if is_required_argument(one) or key in at[:1]}
        head = ", ".join(f"${key}: {one.type}" for key, one in given.items())
        arguments = ", ".join(f"{key}: ${key}" for key in given)
        below = "{ __typename }" if isinstance(get_named_type(field.type), GraphQLObjectType) else ""
        document = f"{kind} {f'({head})' if head else ''} {{ {name}{f'({arguments})' if arguments else ''} {below} }}"
        return document, {
            key: _value(one.type, at[1:] if key in at[:1] else (), value, chosen=key in at[:1])
            for key, one in given.items()
        }

    def arguments(self, kind: str, scalar: str) -> Iterator[tuple[str, Path]]:
        """Each root field with each path to a value of that scalar."""
        for name, field in self.roots.get(kind, {}).items():
            for key, argument in field.args.items():
                for path in _paths(argument.type, scalar):
                    yield name, (key, *path)

    def reachable(self, *fields: GraphQLField) -> set[str]:
        """The types of objects that can be selected below them."""
        found: set[str] = set()
        waiting = [get_named_type(field.type) for field in fields]
        while waiting:
            type_ = waiting.pop()
            if isinstance(type_, GraphQLObjectType) and type_.name not in found:
                found.add(type_.name)
                waiting += [get_named_type(field.type) for field in type_.fields.values()]
        return found

    def everything(self, type_: GraphQLNamedType, depth: int) -> str:
        """A selection of all that can be asked without an argument, pages with one entry each."""
        if not isinstance(type_, GraphQLObjectType):
            return ""
        chosen = []
        for name, field in type_.fields.items():
            below = get_named_type(field.type)
            if any(is_required_argument(one) for one in field.args.values()):
                continue
            if isinstance(below, GraphQLObjectType) and depth == 1:
                continue
            page = "(first: 1)" if "first" in field.args else ""
            chosen.append(f"{name}{page} {self.everything(below, depth - 1)}")
        return f"{{ __typename {' '.join(chosen)} }}"


def _value(type_: GraphQLInputType, at: Path, value: object, *, chosen: bool) -> Any:
    if isinstance(type_, GraphQLNonNull):
        return _value(type_.of_type, at, value, chosen=chosen)
    if isinstance(type_, GraphQLList):
        return [_value(type_.of_type, at, value, chosen=chosen)]
    if isinstance(type_, GraphQLInputObjectType):
        fields = {name: one for name, one in type_.fields.items() if is_required_input_field(one) or name in at[:1]}
        return {name: _value(one.type, at[1:], value, chosen=chosen and name in at[:1]) for name, one in fields.items()}
    if chosen and not at:
        return value
    return next(iter(type_.values)) if isinstance(type_, GraphQLEnumType) else FITTING[type_.name]


def _paths(type_: GraphQLInputType, scalar: str) -> Iterator[Path]:
    named = get_named_type(type_)
    if named.name == scalar:
        yield ()
    elif isinstance(named, GraphQLInputObjectType):
        for name, field in named.fields.items():
            for path in _paths(field.type, scalar):
                yield name, *path
