"""One operation, from its text to its answers."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, OperationType, execute, parse, validate
from graphql.execution import Executor as CoreExecutor
from graphql.execution import create_source_event_stream
from graphql.execution.values import VariableValues
from graphql.pyutils import is_awaitable

from errors import Refusal
from executor.compiler import Compiler
from executor.cost import Limits
from executor.documents import LONG, Document, Documents, Operation, Text, UnknownOperation
from executor.plan import Plan
from executor.reads import befores_in

ANYTHING = frozenset(OperationType)
MOST_ERRORS = 20  # of a document: each may quote a large part of it
# One, since the loop waits for its turn behind each thread that computes.
_READER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reads-documents")


@dataclass
class Result:
    """`data` and `errors` as GraphQL §7.1 has them. `was_executed` is False where the request was refused before
    anything ran: then there is no data, not even null. `operation` is which one of a valid document it was."""

    data: dict[str, Any] | None
    errors: list[GraphQLError] = field(default_factory=list)
    was_executed: bool = True
    operation: Operation | None = None


class NotAllowed(Exception):
    """The operation is of a kind that may not be run here."""

    def __init__(self, kind: OperationType) -> None:
        super().__init__(f"a {kind.value} cannot be run here")
        self.kind = kind


class _Refused(Exception):
    def __init__(self, errors: list[GraphQLError], operation: Operation | None = None) -> None:
        super().__init__()
        self.result = Result(None, errors, was_executed=False, operation=operation)


Around = Callable[[OperationType, Any], AbstractAsyncContextManager[None]]


class Executor:
    """Runs documents over a schema. `as_read` names the scalars whose values JSON can say as they stand in a column.
    `around` is given the kind and the context of each query and mutation, and what it gives is entered meanwhile."""

    def __init__(
        self, schema: GraphQLSchema, limits: Limits, as_read: Collection[str] = (), around: Around | None = None
    ) -> None:
        self._schema, self._limits, self._around = schema, limits, around
        self._compiler, self._documents = Compiler(schema, as_read), Documents()

    @property
    def documents(self) -> Documents:
        """What is kept of them, for who watches."""
        return self._documents

    def known(self, text: str, operation_name: str | None = None) -> Operation | None:
        """Which operation it is, where its document is kept."""
        document = self._documents.find(text)
        with suppress(UnknownOperation):
            return document.operation(operation_name) if document else None
        return None

    async def execute(
        self,
        text: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        context: Any = None,
        allowed: Collection[OperationType] = ANYTHING,
    ) -> Result:
        """Runs a query or a mutation. Raises UnknownOperation, NotAllowed."""
        try:
            operation, values, plan = await self._prepare(text, variables or {}, operation_name, allowed)
        except _Refused as refused:
            return refused.result
        if self._around is None:
            return await self._run(operation, plan, variables or {}, values, None, context)
        async with self._around(operation.kind, context):
            return await self._run(operation, plan, variables or {}, values, None, context)

    async def subscribe(
        self,
        text: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        context: Any = None,
    ) -> AsyncGenerator[Result, None]:
        """What a subscription tells, until its source ends. What the source raises is the last that is told. Raises
        UnknownOperation."""
        try:
            operation, values, plan = await self._prepare(text, variables or {}, operation_name, ANYTHING)
        except _Refused as refused:
            yield refused.result
            return
        document, name = operation.document.parsed, operation.name
        opener: Any = CoreExecutor.build(self._schema, document, None, context, dict(variables or {}), name)
        source: Any = create_source_event_stream(opener)
        source = await source if is_awaitable(source) else source
        if isinstance(source, ExecutionResult):
            yield Result(None, source.errors or [], was_executed=False)
            return
        async with aclosing(source):
            try:
                async for event in source:
                    yield await self._run(operation, plan, variables or {}, values, event, context)
            except Exception as error:
                yield Result(None, [GraphQLError(str(error), original_error=error)], was_executed=False)

    async def _prepare(
        self, text: str, given: Mapping[str, Any], name: str | None, allowed: Collection[OperationType]
    ) -> tuple[Operation, VariableValues, Plan | None]:
        """Raises _Refused, UnknownOperation, NotAllowed."""
        document = self._documents.find(text)
        if document is None:
            document = await _beside_the_loop(text, self._read, text)
            self._documents.keep(document)
        operation = document.operation(name)
        if operation.kind not in allowed:
            raise NotAllowed(operation.kind)
        self._refuse_what_is_dear(operation, given)  # first: validating is what a hostile document makes dear
        if document.errors is None:
            document.errors = await _beside_the_loop(text, self._validate, document)
        if document.errors:
            raise _Refused(document.errors)
        values = operation.variables(self._schema, given)
        if isinstance(values, list):
            raise _Refused(values, operation)
        if operation.has_plan(values):
            return operation, values, operation.plan(values)
        plan = await _beside_the_loop(text, operation.compiled, self._compiler, values)
        operation.keep(values, plan)
        self._documents.weigh(document)
        return operation, values, plan

    def _read(self, text: str) -> Document:
        try:
            return Document(text, parse(Text(text), max_tokens=self._limits.tokens))
        except GraphQLError as error:
            raise _Refused([error]) from None  # and is not kept: it costs no more than parsing

    def _validate(self, document: Document) -> list[GraphQLError]:
        # Without what a scalar raised, such as Python at 5,000 digits: the document's fault is not the server's.
        found = validate(self._schema, document.parsed, max_errors=MOST_ERRORS)
        return [GraphQLError(error.message, error.nodes) for error in found]

    def _refuse_what_is_dear(self, operation: Operation, given: Mapping[str, Any]) -> None:
        try:
            self._limits.refuse_variables(given)
            self._limits.refuse(operation.measure(self._schema, given, self._limits))
        except Refusal as refusal:
            raise _Refused([GraphQLError(str(refusal), original_error=refusal)]) from None

    async def _run(
        self,
        operation: Operation,
        plan: Plan | None,
        given: Mapping[str, Any],
        values: VariableValues,
        root: Any,
        context: Any,
    ) -> Result:
        if plan is not None:
            return Result(*await plan.run(root, context, values), operation=operation)
        for before in befores_in(self._schema):
            await before(context)
        ran = execute(
            self._schema,
            operation.document.parsed,
            root,
            context,
            dict(given),
            operation.name,
        )
        ran = await ran if not isinstance(ran, ExecutionResult) else ran
        return Result(ran.data, ran.errors or [], operation=operation)


async def _beside_the_loop(text: str, work: Any, *given: Any) -> Any:
    """In a thread, where it could keep the event loop from everybody else: there, others have their turns."""
    if len(text) <= LONG:
        return work(*given)
    return await asyncio.get_running_loop().run_in_executor(_READER, work, *given)
