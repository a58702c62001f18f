"""Our schema, with resolvers made up out of a seed: they answer, fail, wait, and answer what they must not.

What a field answers follows from the seed and from all that the engine told its resolver: where it stands, of which
object it is asked and with which arguments. So two engines meet the same values where they say the same, and others
where one of them is wrong about any of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any
from zlib import crc32

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Undefined,
    build_schema,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

FITTING: dict[str, tuple[Any, ...]] = {"Int": (0, 1, -7, 2**31 - 1, 3.0, "8", True), "Boolean": (True, False, 1, 0)}
WRONG = (2**31, 1.5, "", "NOWHERE", {"not": "this"}, ("nor", "this"), float("nan"), Undefined)


class Fault(Exception):
    """Raised by a resolver."""


@dataclass(frozen=True)
class World:
    """What a seed makes of the schema: the context of an execution. With `faults`, one in so many values is none that
    the schema promises; with `waits`, one in three has to be awaited."""

    seed: int
    faults: int
    waits: bool

    def value(self, type_: Any, spot: str) -> Any:
        """The field's value; raises Fault."""
        choices = self._choices(spot)
        if self.waits and choices.random() < 0.3:
            return choices.choice([_waited, _waited, _Waits])(choices.randrange(3), self, type_, spot)
        return self._made(type_, spot, choices)

    def fits(self, type_: GraphQLObjectType, value: Any, spot: str) -> Any:
        """The answer of is_type_of."""
        choices = self._choices(f"{spot} {type_} {value}")
        fits = not self._is_at_fault(choices)
        return _told(choices.randrange(2), fits) if self.waits and choices.random() < 0.3 else fits

    def _is_at_fault(self, choices: Random) -> bool:
        return self.faults > 0 and choices.random() * self.faults < 1

    def _choices(self, spot: str) -> Random:
        return Random(crc32(f"{self.seed} {spot}".encode()))  # noqa: S311 - invents data

    def _made(self, type_: Any, spot: str, choices: Random) -> Any:
        if self._is_at_fault(choices):
            match choices.randrange(6):
                case 0:
                    raise Fault(spot)
                case 1:
                    return Fault(f"returned {spot}")
                case 2:
                    raise GraphQLError(f"told {spot}", extensions={"code": 7})
                case 3:
                    return choices.choice(WRONG)
                case _:
                    return None
        type_ = type_.of_type if is_non_null_type(type_) else type_
        if is_list_type(type_):
            return self._list(type_.of_type, spot, choices)
        return self._leaf(type_, spot, choices) if is_leaf_type(type_) else Thing(self, type_, spot)

    def _list(self, type_: Any, spot: str, choices: Random) -> Any:
        number = choices.randrange(4)
        kinds: list[Callable[[list[Any]], Any]] = [list, list, tuple, iter, self._ends_in_a_fault, self._comes]
        return choices.choice(kinds)([self._item(type_, f"{spot}.{index}") for index in range(number)])

    def _item(self, type_: Any, spot: str) -> Any:
        try:
            return self.value(type_, spot)
        except Exception as error:
            return error

    def _ends_in_a_fault(self, items: list[Any]) -> Iterator[Any]:
        yield from items
        if len(items) == 2 and self.faults:
            raise Fault("at the end of a list")

    def _comes(self, items: list[Any]) -> Any:
        return _coming(items) if self.waits else items

    @staticmethod
    def _leaf(type_: Any, spot: str, choices: Random) -> Any:
        if isinstance(type_, GraphQLEnumType):
            return choices.choice(list(type_.values))
        return choices.choice(FITTING[type_.name]) if type_.name in FITTING else spot


class Thing:
    """An object of the schema. Fields without a resolver are its attributes."""

    def __init__(self, world: World, type_: GraphQLObjectType, spot: str) -> None:
        self._world, self._type, self._spot = world, type_, spot

    def __str__(self) -> str:
        return f"{self._type} {self._spot}"

    __repr__ = __str__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # such as what tells whether it could be awaited
            raise AttributeError(name)
        return self._world.value(self._type.fields[name].type, f"{self}.{name}")


class _Waits:
    """Can be awaited, and is no coroutine."""

    def __init__(self, turns: int, world: World, type_: Any, spot: str) -> None:
        self._given = turns, world, type_, spot

    def __await__(self) -> Any:
        return _waited(*self._given).__await__()


async def _waited(turns: int, world: World, type_: Any, spot: str) -> Any:
    return world._made(type_, spot, await _told(turns, world._choices(f"{spot} waited")))


async def _told(turns: int, value: Any) -> Any:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def _coming(items: list[Any]) -> AsyncIterator[Any]:
    for at, item in enumerate(items):
        await asyncio.sleep(0)
        yield await item if asyncio.iscoroutine(item) and at % 2 else item


def invented_schema(sdl: str) -> GraphQLSchema:
    """The schema that the text describes. Its executions take a World for their context."""
    schema = build_schema(sdl)
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            is_root = type_ in (schema.query_type, schema.mutation_type, schema.subscription_type)
            for name, field in type_.fields.items():
                if not field.args and not is_root and crc32(f"{type_}.{name}".encode()) % 2:
                    _make_attribute(field, name)
                else:
                    field.resolve = _resolve
            if crc32(type_.name.encode()) % 3 == 0:
                type_.is_type_of = _check_of(type_)
    return schema


def _make_attribute(field: GraphQLField, name: str) -> None:
    """As Strawberry marks and reads a field that has no resolver."""
    field.extensions = {"strawberry-definition": SimpleNamespace(python_name=name, is_basic_field=True)}
    field.resolve = lambda source, _info: getattr(source, name)


def _resolve(source: Any, info: GraphQLResolveInfo[World], **arguments: Any) -> Any:
    told = (
        info.path.as_list(),
        str(info.parent_type),
        [node.loc and node.loc.start for node in info.field_nodes],
        sorted(arguments.items()),
        sorted(info.fragments),
        sorted(info.variable_values.coerced.items()),
        str(source),
    )
    return info.context.value(info.return_type, repr(told))


def _check_of(type_: GraphQLObjectType) -> Any:
    return lambda value, info: info.context.fits(type_, value, repr(info.path.as_list()))
