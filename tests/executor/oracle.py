"""graphql-core is the oracle: a document that it runs and that ours runs has to be answered alike.

Alike is JSON that is equal, and the same errors: message, path, locations, and the code of what was raised. Their order
is compared where nothing waits. Where things wait for each other the specification leaves open which of several errors
below a place that becomes null is told (GraphQL §6.4.4), and graphql-core tells the one that comes first. There each
error that ours tells must be one that can come up at all, and where there is but one it must be that.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import orjson
from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    validate,
)

from errors import Refusal
from executor import Executor
from executor.reads import befores_in

Way = tuple[str | int, ...]


class Asked(NamedTuple):
    """An operation, as a client sends it."""

    text: str
    variables: Mapping[str, Any]
    operation_name: str | None = None

    def turned(self) -> "Asked":
        """With other answers to its conditions."""
        other = {name: not value if isinstance(value, bool) else value for name, value in self.variables.items()}
        return self._replace(variables=other)


class Told(NamedTuple):
    """An error, without what differs from one run to the next."""

    message: str
    path: Way
    locations: tuple[tuple[int, int], ...]
    code: str

    @classmethod
    def of(cls, error: GraphQLError) -> "Told":
        cause: BaseException | None = error
        while isinstance(cause, GraphQLError):
            cause = cause.original_error
        code = cause.code.value if isinstance(cause, Refusal) else type(cause).__name__
        locations = tuple((one.line, one.column) for one in error.locations or ())
        return cls(error.message, tuple(error.path or ()), locations, code)


class Answer(NamedTuple):
    data: Any
    errors: list[Told]

    @classmethod
    def of(cls, data: Any, errors: list[GraphQLError] | None) -> "Answer":
        as_written = orjson.loads(orjson.dumps(data, option=orjson.OPT_UTC_Z))
        return cls(as_written, [Told.of(error) for error in errors or ()])


def kind_of(asked: Asked) -> OperationType:
    operation = get_operation_ast(parse(asked.text), asked.operation_name)
    assert operation is not None
    return operation.operation


def is_valid(schema: GraphQLSchema, asked: Asked) -> bool:
    return not validate(schema, parse(asked.text))


async def ours(executor: Executor, asked: Asked, context: Any) -> Answer:
    result = await executor.execute(asked.text, asked.variables, asked.operation_name, context=context)
    return Answer.of(result.data, result.errors)


async def graphql_cores(schema: GraphQLSchema, asked: Asked, context: Any) -> Answer:
    return await _run(schema, parse(asked.text), asked, context)


async def all_that_can_be_told(schema: GraphQLSchema, asked: Asked, context: Any) -> set[Told]:
    """Each error that comes up where none of them makes anything else null than its own place."""
    document = parse(asked.text)
    definitions = tuple(
        replace(one, directives=(_EACH_ALONE,)) if isinstance(one, OperationDefinitionNode) else one
        for one in document.definitions
    )
    return set((await _run(schema, replace(document, definitions=definitions), asked, context)).errors)


_EACH_ALONE = DirectiveNode(name=NameNode(value="experimental_disableErrorPropagation"), arguments=())


async def _run(schema: GraphQLSchema, document: DocumentNode, asked: Asked, context: Any) -> Answer:
    for before in befores_in(schema):
        await before(context)
    ran = execute(schema, document, None, context, dict(asked.variables), asked.operation_name)
    result = ran if isinstance(ran, ExecutionResult) else await ran
    assert isinstance(result, ExecutionResult)
    return Answer.of(result.data, result.errors)


async def assert_alike(
    schema: GraphQLSchema, executor: Executor, asked: Asked, new_context: Callable[[], Any]
) -> tuple[Answer, Answer]:
    """The two answers, of the executor's and of graphql-core."""
    found = await ours(executor, asked, new_context())
    expected = await graphql_cores(schema, asked, new_context())
    if not are_alike(found, expected):
        possible = await all_that_can_be_told(schema, asked, new_context())
        assert differ_as_they_may(found, expected, possible), (asked, found, expected)
    return found, expected


def are_alike(found: Answer, expected: Answer) -> bool:
    """Whatever the order of the errors is."""
    return _key_order(found.data) == _key_order(expected.data) and Counter(found.errors) == Counter(expected.errors)


def differ_as_they_may(found: Answer, expected: Answer, possible: set[Told]) -> bool:
    """Whether the errors differ in nothing but which of several was told for a place that became null."""
    if _key_order(found.data) != _key_order(expected.data):
        return False
    at_ours, at_cores = _by_null(found), _by_null(expected)
    if at_ours.keys() != at_cores.keys() or not set(found.errors) <= possible:
        return False
    return all(
        Counter(at_ours[null]) == Counter(at_cores[null])
        for null in at_ours
        if sum(one.path[: len(null)] == null for one in possible) < 2
    )


def _by_null(answer: Answer) -> dict[Way, list[Told]]:
    """The errors by the place, of those above them, that is null."""
    found: dict[Way, list[Told]] = {}
    for error in answer.errors:
        value, null = answer.data, 0
        while value is not None and null < len(error.path):
            value, null = value[error.path[null]], null + 1
        found.setdefault(error.path[:null], []).append(error)
    return found


def _key_order(data: Any) -> bytes:
    return orjson.dumps(data)  # the order of keys is the document's (GraphQL §7.2.2)
