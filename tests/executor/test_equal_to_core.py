"""What graphql-core's own tests leave out: a plan and graphql-core give the same answer to the same document."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
import strawberry
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    Undefined,
    build_schema,
    execute,
    parse,
)

from executor.compiler import Compiler
from executor.documents import Document


class Refused(Exception):
    pass


class Written:
    def __str__(self) -> str:
        return "written by itself"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Written)


class ToCome:
    """Unlike a coroutine, it may be left alone."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield from asyncio.sleep(0).__await__()
        return "a"

    def __str__(self) -> str:
        return "still to come"


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


async def returned_later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def one_by_one(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


def until_it_fails(*values: Any) -> Iterator[Any]:
    yield from values
    raise Refused("no more")


VALUES: dict[str, Callable[[], Any]] = {
    "a text": lambda: "a",
    "a number": lambda: 1,
    "an object": Written,
    "null": lambda: None,
    "nothing": lambda: Undefined,
    "an error": lambda: Refused("returned"),
    "a value to come": lambda: later("a"),
    "an error to come": lambda: later(Refused("raised")),
    "an error in a value to come": lambda: returned_later(Refused("returned")),
}
LISTS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "a list": lambda value: ["a", value(), value()],
    "a tuple": lambda value: (value(), "a"),
    "a list to come": lambda value: later([value(), later("a")]),
    "an iterator that fails": lambda value: until_it_fails(value(), "a"),
    "an iterator to come": lambda value: one_by_one(value(), "a", value()),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("type_", ["Int", "Int!", "String", "String!", "ID", "ID!", "Any", "Any!"])
async def test_a_leaf(type_: str, value: Callable[[], Any]) -> None:
    schema = build_schema(f"scalar Any type Query {{ asked: {type_} beside: String }}")

    await answers_are_equal(schema, "{ asked beside }", lambda: {"asked": value(), "beside": "b"})


@pytest.mark.parametrize("type_", ["Int", "String", "[String]"])
async def test_what_has_come_is_not_awaited_again(type_: str) -> None:
    schema = build_schema(f"type Query {{ asked: {type_} beside: String }}")

    await answers_are_equal(schema, "{ asked beside }", lambda: {"asked": later(ToCome()), "beside": "b"})


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("items", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("type_", ["[String]", "[String!]", "[ID!]!", "[Any]", "[Any!]"])
async def test_a_list(type_: str, items: Callable[[Callable[[], Any]], Any], value: Callable[[], Any]) -> None:
    schema = build_schema(f"scalar Any type Query {{ asked: {type_} beside: String }}")

    await answers_are_equal(schema, "{ asked beside }", lambda: {"asked": items(value), "beside": "b"})


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_a_field_without_a_resolver(value: Callable[[], Any]) -> None:
    @strawberry.type
    class Query:
        text: str | None
        id: strawberry.ID | None
        texts: list[str] | None
        any: strawberry.scalars.JSON | None

    def root() -> Query:
        return Query(text=value(), id=value(), texts=["a", value()], any=value())

    await answers_are_equal(strawberry.Schema(Query)._schema, "{ text id texts any }", root)


@pytest.mark.parametrize("literal", ['"good"', '"refused"', '"nothing"', "$given", "[$given]", "null", "{a: 1}"])
async def test_an_argument_of_a_scalar_that_refuses(literal: str) -> None:
    schema = build_schema("scalar Odd type Query { asked(odd: Odd! = 1, list: [Odd]): String }")
    odd: Any = schema.type_map["Odd"]
    odd.coerce_input_value = _odd
    declared = "query ($given: String)" if "$" in literal else ""
    document = f"{declared} {{ asked(odd: {literal}) again: asked(list: [{literal}]) }}"

    await answers_are_equal(schema, document, lambda: {"asked": lambda _, **given: repr(given)})


def _odd(value: Any) -> Any:
    if value == "refused":
        raise ValueError("odd")
    return Undefined if value == "nothing" else ("odd", value)


async def test_an_input_type_that_refuses() -> None:
    schema = build_schema("input In { a: Int } type Query { asked(in: In): String beside: String }")
    in_: Any = schema.type_map["In"]
    in_.out_type = lambda value: int("refused")

    await answers_are_equal(schema, "{ asked(in: {a: 1}) beside }", lambda: {"beside": "b"})


async def test_what_a_resolver_does_to_an_argument_is_not_seen_by_the_next() -> None:
    schema = build_schema("scalar Box input In { a: [Int] } type Query { asked(box: Box, in: In): String }")
    box: Any = schema.type_map["Box"]
    box.coerce_input_value = lambda value: {value}  # a set is an object that is not plain
    seen: list[str] = []

    def asked(_: Any, box: set[str], **others: Any) -> None:
        seen.append(f"{box} {others}")
        box.add("more")
        others["in"]["a"].append(2)

    plan, values = compiled(schema, '{ asked(box: "b", in: {a: 1}) }')
    await plan.run({"asked": asked}, None, values)
    await plan.run({"asked": asked}, None, values)

    assert seen == ["{'b'} {'in': {'a': [1]}}"] * 2


async def test_each_field_of_a_mutation_waits_for_the_one_before() -> None:
    schema = build_schema("type Query { a: Int } type Mutation { first: Int second: Int third: Int }")
    seen: list[str] = []

    def does(name: str) -> Callable[[Any], Any]:
        async def resolve(_: Any) -> None:
            seen.append(f"{name} begins")
            await asyncio.sleep(0)
            seen.append(f"{name} ends")

        return resolve

    plan, values = compiled(schema, "mutation { second first third }")
    await plan.run({name: does(name) for name in ("first", "second", "third")}, None, values)

    assert seen == [f"{name} {what}" for name in ("second", "first", "third") for what in ("begins", "ends")]


async def test_an_error_under_what_is_null_by_now_is_not_told() -> None:
    schema = build_schema("type Query { part: Query failing: Int! late: Int slow: Int }")

    def root() -> dict[str, Any]:
        part = {"late": lambda _: slow_error(), "failing": lambda _: Refused("at once")}
        return {"part": part, "slow": lambda _: slow()}

    async def slow_error() -> int:
        await asyncio.sleep(0)
        raise Refused("late")

    async def slow() -> int:
        for _ in range(10):
            await asyncio.sleep(0)
        return 1

    await answers_are_equal(schema, "{ part { late failing } slow }", root)


@pytest.mark.parametrize("type_", ["Node", "[Node]", "[[Node]]"])
async def test_who_tells_the_type_of_an_item_is_told_the_path_of_the_field(type_: str) -> None:
    schema = build_schema(
        f"interface Node {{ a: Int }} type Leaf implements Node {{ a: Int }} type Query {{ asked: {type_} }}"
    )
    told: list[Any] = []

    def resolve(_: Any, info: GraphQLResolveInfo[Any], __: Any) -> str:
        told.append(info.path.as_list())
        return "Leaf"

    node: Any = schema.type_map["Node"]
    node.resolve_type = resolve
    asked: Any = {"Node": {}, "[Node]": [{}, {}], "[[Node]]": [[{}], [{}]]}[type_]

    await answers_are_equal(schema, "{ asked { a } }", lambda: {"asked": asked})

    assert all(path == ["asked"] for path in told)


async def test_a_source_that_fails_to_close_hides_no_error() -> None:
    class Source:
        given = 0

        def __aiter__(self) -> "Source":
            return self

        async def __anext__(self) -> Any:
            self.given += 1
            if self.given > 3:  # which nobody asks for
                raise StopAsyncIteration
            return Refused("an item")

        async def aclose(self) -> None:
            raise Refused("to close")

    schema = build_schema("type Query { asked: [Int!] }")

    await answers_are_equal(schema, "{ asked }", lambda: {"asked": Source()})


def compiled(schema: GraphQLSchema, text: str) -> Any:
    parsed = parse(text)
    operation = Document(text, parsed).operation(None)
    values: Any = operation.variables(schema, {})
    return Compiler(schema).compile(parsed, operation.definition, values), values


async def answers_are_equal(schema: GraphQLSchema, text: str, root: Callable[[], Any]) -> None:
    plan, values = compiled(schema, text)
    data, errors = await plan.run(root(), None, values)

    expected = execute(schema, parse(text), root())
    expected = expected if isinstance(expected, ExecutionResult) else await expected
    await asyncio.sleep(0)  # what went on in the background comes to its end

    assert data == expected.data
    assert _told(errors) == _told(expected.errors or [])


def _told(errors: list[GraphQLError]) -> list[Any]:
    return [(error.formatted, type(error.original_error)) for error in errors]
