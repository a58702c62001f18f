"""Strawberry's resolvers, called as Strawberry calls them; but what does not change from call to call is found out
once: which arguments there are and of which types, whether `self` and `info` are wanted, who guards the field.

Strawberry finds it out at each call; for a mutation with an input of ten fields that takes longer than the mutation.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, ClassVar

from graphql import GraphQLField
from strawberry.permission import BasePermission, PermissionExtension
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    has_object_definition,
)
from strawberry.types.enum import StrawberryEnumDefinition, has_enum_definition
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info
from strawberry.types.lazy_type import LazyType
from strawberry.types.maybe import Some
from strawberry.utils.await_maybe import await_maybe
from strawberry.utils.str_converters import to_camel_case

Resolver = Callable[..., Any]
Convert = Callable[[Any], Any]


class _OnlyStrawberryCan(Exception):
    """Its own wrapper has to call the resolver."""


def resolver_of(definition: GraphQLField) -> Resolver | None:
    """What gives the field's value, called as graphql-core calls resolvers; None where that is what Strawberry made."""
    field = definition.extensions.get("strawberry-definition")
    if not isinstance(field, StrawberryField) or field.base_resolver is None or field.is_subscription:
        return None
    try:
        return _resolver(field)
    except _OnlyStrawberryCan:
        return None


def _resolver(field: StrawberryField) -> Resolver:
    base: Any = field.base_resolver
    if base.parent_parameter or base.root_parameter:
        raise _OnlyStrawberryCan
    guards, convert = _guards(field), _Arguments(field)
    takes_self, takes_info, call = bool(base.self_parameter), bool(base.info_parameter), base.wrapped_func

    def resolve(source: Any, info: Any, **given: Any) -> Any:
        arguments = convert(given)
        if takes_info:
            arguments["info"] = Info(_raw_info=info, _field=field)
        return call(source, **arguments) if takes_self else call(**arguments)

    async def resolve_guarded(source: Any, info: Any, **given: Any) -> Any:
        for guard in guards:
            allowed = guard.has_permission(source, Info(_raw_info=info, _field=field), **convert(given))
            if await await_maybe(allowed) is not True:
                guard.on_unauthorized()  # raises
        return await resolve(source, info, **given)

    return resolve_guarded if guards else resolve


def _guards(field: StrawberryField) -> list[BasePermission]:
    guards: list[BasePermission] = []
    for extension in field.extensions:
        if not isinstance(extension, PermissionExtension) or extension.fail_silently or extension.supports_sync:
            raise _OnlyStrawberryCan
        guards += extension.permissions
    if guards and not field.is_async:
        raise _OnlyStrawberryCan
    return guards


class _Arguments:
    """A field's arguments, from GraphQL's names and values to Python's."""

    def __init__(self, field: StrawberryField) -> None:
        self._each = [
            (one.graphql_name or to_camel_case(one.python_name), one.python_name, _converter(one.type))
            for one in field.arguments
        ]

    def __call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            python_name: convert(given[name]) if convert else given[name]
            for name, python_name, convert in self._each
            if name in given
        }


def _converter(type_: Any) -> Convert | None:
    """What makes Python's value of GraphQL's; None where they are one. Nulls are told apart from left-out ones before:
    whoever has a Maybe knows that it was given."""
    if isinstance(type_, StrawberryMaybe):
        if not isinstance(type_.of_type, StrawberryOptional):
            raise _OnlyStrawberryCan
        of_value = _converter(type_.of_type)
        return lambda value: Some(of_value(value) if of_value else value)
    if isinstance(type_, StrawberryOptional):
        return _converter(type_.of_type)
    if isinstance(type_, LazyType):
        return _converter(type_.resolve_type())
    if isinstance(type_, StrawberryList):
        return _list_converter(_converter(type_.of_type))
    if isinstance(type_, StrawberryEnumDefinition) or has_enum_definition(type_):
        return None  # graphql-core has made the member of the name
    if has_object_definition(type_):
        return _Input.of(type_)
    if isinstance(type_, type) or hasattr(type_, "__supertype__"):
        return None  # a scalar, read by its own parse_value
    raise _OnlyStrawberryCan


def _list_converter(of_item: Convert | None) -> Convert:
    # A new list: graphql-core gives one and the same default to every request that leaves it out.
    if of_item is None:
        return lambda values: None if values is None else list(values)
    return lambda values: None if values is None else [of_item(value) for value in values]


class _Input:
    """Makes the objects of an input type."""

    _known: ClassVar[dict[type, "_Input"]] = {}  # also while it is being made: it may hold others of its own kind

    def __init__(self, type_: Any, definition: StrawberryObjectDefinition) -> None:
        self._type = type_
        # Which may be null, and then need no default: as Strawberry has it.
        self._left_out = {
            field.python_name: None
            for field in definition.fields
            if field.default_value is MISSING and field.default_factory is MISSING
        }
        self._fields: list[tuple[str, str, Convert | None]] = []

    @classmethod
    def of(cls, type_: Any) -> "_Input":
        if type_ in cls._known:
            return cls._known[type_]
        definition: StrawberryObjectDefinition = type_.__strawberry_definition__
        if definition.from_input is not None:
            raise _OnlyStrawberryCan
        made = cls._known[type_] = cls(type_, definition)
        try:
            made._fields = [
                (
                    field.graphql_name or to_camel_case(field.python_name),
                    field.python_name,
                    _converter(field.resolve_type(type_definition=definition)),
                )
                for field in definition.fields
            ]
        except _OnlyStrawberryCan:
            del cls._known[type_]
            raise
        return made

    def __call__(self, value: Mapping[str, Any] | None) -> Any:
        if value is None:
            return None
        given = {
            python_name: convert(value[name]) if convert else value[name]
            for name, python_name, convert in self._fields
            if name in value
        }
        return self._type(**{**self._left_out, **given})
