"""Runs a plan: the order of things, null propagation, the paths of errors (GraphQL §6.3, §6.4).

A plan is a tree that compiler.py builds once. A Field gets a value out of its object, by a look at an attribute or by
a call of a resolver; its Kind completes the value: writes a leaf, or goes on into the objects of a list. Nothing here
looks at a document any more.

What takes time comes back as a coroutine in the place of its answer. Whoever collects answers, of an object's fields
or of a list's items, awaits the coroutines among them together. So a tree in which nothing waits is answered by plain
calls, without one task.

What goes wrong is raised, and is located by the nearest field or item above. If that may be null, the error is noted
there and null is its answer; else it is raised on, to where null may stand. As in graphql-core, which is the oracle of
all this, what is noted under a place that has become null already is left out.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from types import CoroutineType
from typing import Any, Protocol

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLAbstractType,
    GraphQLError,
    GraphQLField,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    default_type_resolver,
    is_object_type,
    located_error,
)
from graphql.execution.executor import CollectedErrors
from graphql.execution.values import VariableValues
from graphql.pyutils import Path, Undefined, gather_with_cancel, inspect, is_iterable
from graphql.pyutils.is_awaitable import is_async_iterable, is_awaitable
from graphql.type.definition import GraphQLResolveInfoHelpers

from executor.arguments import PLAIN, Arguments
from executor.reads import Before, FromRows, Selection, Shape

Answer = Any  # what JSON can say, or a coroutine that comes to it


class Run:
    """One execution of a plan: what is asked with, and what has gone wrong so far."""

    __slots__ = ("background", "context", "errors", "helpers", "plan", "root", "variables")

    def __init__(self, plan: "Plan", root: Any, context: Any, variables: VariableValues) -> None:
        self.plan, self.root, self.context, self.variables = plan, root, context, variables
        self.errors = CollectedErrors()
        self.background: set[asyncio.Future[Any]] = set()
        self.helpers = GraphQLResolveInfoHelpers(_gather, self.settle)

    def fail(self, error: Exception, nodes: list[FieldNode], path: Path, *, is_nullable: bool) -> None:
        """Notes the error where null may stand for the answer; else raises it on."""
        located = located_error(error, nodes, path.as_list())
        if not is_nullable:
            raise located
        self.errors.add(located, path)

    def settle(self, values: Sequence[Any]) -> None:
        """Lets coroutines come to their end whose answers nobody wants any more: an error went past them."""
        if waiting := [value for value in values if is_awaitable(value)]:
            future = asyncio.gather(*waiting, return_exceptions=True)
            self.background.add(future)  # the event loop itself holds only weak references
            future.add_done_callback(self.background.discard)


def _gather(values: Sequence[Any]) -> Any:
    return gather_with_cancel(*values)


class Info(GraphQLResolveInfo[Any]):  # without __slots__, so that it carries one thing more than the named tuple
    site: "Site"


class Site:
    """Where a field stands: what the parts of a plan that answer it have in common."""

    __slots__ = ("definition", "is_alone", "nodes", "parent", "selection")

    def __init__(
        self, parent: GraphQLObjectType, definition: GraphQLField, nodes: list[FieldNode], *, is_alone: bool
    ) -> None:
        self.parent, self.definition, self.nodes = parent, definition, nodes
        self.is_alone = is_alone  # no other field of the operation calls the same resolver
        self.selection: Selection | None = None  # until a resolver wants to know it

    def __str__(self) -> str:
        return f"{self.parent.name}.{self.nodes[0].name.value}"

    def info(self, path: Path, run: Run) -> Info:
        """What resolvers are told. `path` leads to the field, or to an item of its list."""
        while isinstance(path.key, int) and path.prev:
            path = path.prev
        plan = run.plan
        info = Info(
            self.nodes[0].name.value,
            self.nodes,
            self.definition.type,
            self.parent,
            path,
            plan.schema,
            plan.fragments,
            run.root,
            plan.operation,
            run.variables,
            run.context,
            is_awaitable,
            None,
            run.helpers,
        )
        info.site = self
        return info


class Plan:
    """How one operation of a document is answered, as long as its @include and @skip say the same."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: dict[str, FragmentDefinitionNode],
        fields: "Fields",
        *,
        is_serial: bool,
        befores: Collection[Before] = (),
    ) -> None:
        self.schema, self.operation, self.fragments = schema, operation, fragments
        self.fields, self.is_serial, self._befores = fields, is_serial, tuple(befores)

    async def run(
        self, root: Any, context: Any, variables: VariableValues
    ) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
        """Data and errors."""
        run = Run(self, root, context, variables)
        for before in self._befores:
            await before(context)
        try:
            if self.is_serial:
                data = await self.fields.answer_in_turns(root, run)
            else:
                data = self.fields.answer(root, None, run)
                if type(data) is CoroutineType:
                    data = await data
        except GraphQLError as error:
            run.errors.add(error, None)
            data = None
        return data, run.errors.errors


class Fields:
    """The fields that are asked of one type of object."""

    __slots__ = ("_each",)

    def __init__(self, each: Sequence["Field"]) -> None:
        self._each = tuple(each)

    def answer(self, source: Any, path: Path | None, run: Run) -> Answer:
        answers: dict[str, Any] = {}
        waiting: list[str] = []
        try:
            for field in self._each:
                answer = answers[field.key] = field.answer(source, path, run)
                if type(answer) is CoroutineType:
                    waiting.append(field.key)
        except Exception:
            run.settle([answers[key] for key in waiting])
            raise
        return _awaited(answers, waiting) if waiting else answers

    async def answer_in_turns(self, source: Any, run: Run) -> dict[str, Any]:
        """One after the other: each sees what those before it have done (GraphQL §6.2.2)."""
        answers: dict[str, Any] = {}
        for field in self._each:
            answer = field.answer(source, None, run)
            answers[field.key] = await answer if type(answer) is CoroutineType else answer
        return answers


async def _awaited(answers: Any, waiting: Sequence[Any]) -> Any:
    """The answers, a dict or a list, once those at the keys or indexes `waiting` have come."""
    if len(waiting) == 1:
        answers[waiting[0]] = await answers[waiting[0]]
    else:
        come = await gather_with_cancel(*(answers[at] for at in waiting))
        for at, answer in zip(waiting, come, strict=True):
            answers[at] = answer
    return answers


class Kind(Protocol):
    """How values of a type are completed (GraphQL §6.4.3). `path` leads to the value."""

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        """The answer, None where the value is null. Raises what is wrong with it."""


class Field(Protocol):
    key: str  # in the answer

    def answer(self, source: Any, path: Path | None, run: Run) -> Answer:
        """The field's answer; `path` leads to its object. Raises GraphQLError where there is none, and null may not
        stand for it."""


class Typename:
    """__typename: known before anything runs."""

    __slots__ = ("_name", "key")

    def __init__(self, key: str, name: str) -> None:
        self.key, self._name = key, name

    def answer(self, source: Any, path: Path | None, run: Run) -> Answer:
        return self._name


class _Located:
    """What fields of all sorts do with a value."""

    __slots__ = ("is_nullable", "key", "kind", "site")

    def __init__(self, key: str, site: Site, kind: Kind, *, is_nullable: bool) -> None:
        self.key, self.site, self.kind, self.is_nullable = key, site, kind, is_nullable

    def _path(self, path: Path | None) -> Path:
        return Path(path, self.key, self.site.parent.name)

    def _fail(self, error: Exception, path: Path, run: Run) -> None:
        run.fail(error, self.site.nodes, path, is_nullable=self.is_nullable)

    def _completed(self, value: Any, path: Path, run: Run) -> Answer:
        """The answer, of a value that may be anything."""
        try:
            if type(value) is CoroutineType or is_awaitable(value):
                return self._awaited(value, path, run)
            answer = self._come(value, path, run)
        except Exception as error:
            return self._fail(error, path, run)
        return self._guarded(answer, path, run) if type(answer) is CoroutineType else answer

    async def _awaited(self, value: Any, path: Path, run: Run) -> Answer:
        """The answer, of a value that is still to come."""
        try:
            answer = self._come(await value, path, run)
            return await answer if type(answer) is CoroutineType else answer
        except Exception as error:
            return self._fail(error, path, run)

    def _come(self, value: Any, path: Path, run: Run) -> Answer:
        """The answer, of a value that is there. It is not awaited, or awaited again."""
        if isinstance(value, Exception):  # returned, which is as good as raised
            raise value
        return self.kind.complete(value, path, run)

    async def _guarded(self, answer: Any, path: Path, run: Run) -> Answer:
        """The answer, a part of which is still to come."""
        try:
            return await answer
        except Exception as error:
            return self._fail(error, path, run)


class Attribute(_Located):
    """A field without a resolver: an attribute of its object."""

    __slots__ = ("_name",)

    def __init__(self, name: str, key: str, site: Site, kind: Kind, *, is_nullable: bool) -> None:
        super().__init__(key, site, kind, is_nullable=is_nullable)
        self._name = name

    def answer(self, source: Any, path: Path | None, run: Run) -> Answer:
        at = self._path(path)
        try:
            value = getattr(source, self._name)
        except Exception as error:
            return self._fail(error, at, run)
        return self._completed(value, at, run)


class LeafAttribute(Attribute):
    """One whose value is a leaf: nothing stands below it, so its path is wanted for errors alone."""

    __slots__ = ()

    def answer(self, source: Any, path: Path | None, run: Run) -> Answer:
        try:
            value = getattr(source, self._name)
            if type(value) in PLAIN:
                return self.kind.complete(value, path, run)  # type: ignore[arg-type] # a leaf looks at no path
        except Exception as error:
            return self._fail(error, self._path(path), run)
        return self._completed(value, self._path(path), run)


class Call(_Located):
    """A field with a resolver."""

    __slots__ = ("_arguments", "_resolve")

    def __init__(
        self,
        resolve: Callable[..., Any],
        arguments: Arguments,
        key: str,
        site: Site,
        kind: Kind,
        *,
        is_nullable: bool,
    ) -> None:
        super().__init__(key, site, kind, is_nullable=is_nullable)
        self._resolve, self._arguments = resolve, arguments

    def answer(self, source: Any, path: Path | None, run: Run) -> Answer:
        at = self._path(path)
        try:
            value = self._resolve(source, self.site.info(at, run), **self._arguments.values(run.variables))
        except Exception as error:
            return self._fail(error, at, run)
        return self._completed(value, at, run)


class Leaf:
    """A scalar or an enum."""

    __slots__ = ("_type", "_write")

    def __init__(self, type_: GraphQLLeafType) -> None:
        self._type, self._write = type_, type_.coerce_output_value

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        if value is None or value is Undefined:
            return None
        written = self._write(value)
        if written is None or written is Undefined:
            raise TypeError(
                f"Expected `{inspect(self._type)}.coerce_output_value({inspect(value)})` to return non-nullable value,"
                f" returned: {inspect(written)}"
            )
        return written


class Text(Leaf):
    """A String or an ID, of which most values are text already."""

    __slots__ = ()

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        return value if type(value) is str else super().complete(value, path, run)


class NonNull:
    """Null is an error of whatever is inside."""

    __slots__ = ("_inner", "_site")

    def __init__(self, inner: Kind, site: Site) -> None:
        self._inner, self._site = inner, site

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        completed = self._inner.complete(value, path, run)
        if completed is None:
            raise TypeError(f"Cannot return null for non-nullable field {self._site}.")
        return completed


class ListOf(_Located):
    """A list; its items are completed as fields are, each at its index. `shape`, where there is one, writes rows as
    they were read."""

    __slots__ = ("_shape",)

    def __init__(self, site: Site, item: Kind, shape: Shape | None, *, is_nullable: bool) -> None:
        super().__init__("", site, item, is_nullable=is_nullable)
        self._shape = shape

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        if value is None or value is Undefined:
            return None
        if self._shape is not None and type(value) is FromRows:
            return self._shape.write(value.rows)
        if is_async_iterable(value):
            return self._of_what_comes(value, path, run)
        if not is_iterable(value):
            raise GraphQLError(f"Expected Iterable, but did not find one for field '{self.site}'.")
        answers: list[Any] = []
        waiting: list[int] = []
        items = iter(value)
        try:
            for index, item in enumerate(items):
                answer = self._completed(item, Path(path, index, None), run)
                answers.append(answer)
                if type(answer) is CoroutineType:
                    waiting.append(index)
        except Exception:
            run.settle([*(answers[index] for index in waiting), *_rest(items)])
            raise
        return _awaited(answers, waiting) if waiting else answers

    async def _of_what_comes(self, values: Any, path: Path, run: Run) -> Answer:
        answers: list[Any] = []
        waiting: list[int] = []
        come = values.__aiter__()
        try:
            while True:
                try:
                    value = await anext(come)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    raise located_error(error, self.site.nodes, path.as_list()) from error
                answer = self._completed(value, Path(path, len(answers), None), run)
                if type(answer) is CoroutineType:
                    waiting.append(len(answers))
                answers.append(answer)
        except Exception:
            if close := getattr(come, "aclose", None):
                with suppress(Exception):  # the error that ended the list is the one to tell
                    await close()
            run.settle([answers[index] for index in waiting])
            raise
        return await _awaited(answers, waiting) if waiting else answers


def _rest(items: Iterator[Any]) -> list[Any]:
    """What was left of a list when an error ended it, up to an error of its own: that comes too late to be told."""
    rest: list[Any] = []
    with suppress(Exception):
        rest.extend(items)
    return rest


class ListOfLeaves(ListOf):
    """No path is needed for each of the items, unless one is in error or still to come."""

    __slots__ = ()

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        if type(value) is list:
            complete = self.kind.complete
            with suppress(Exception):  # is met again below, and told with the item's index
                written = [complete(item, path, run) for item in value if type(item) in PLAIN]
                if len(written) == len(value):
                    return written
        return super().complete(value, path, run)


class ObjectOf:
    """An object, of the one type that it can be of. `shape`, where there is one, writes its row as it was read."""

    __slots__ = ("_fields", "_shape", "_site", "_type")

    def __init__(self, site: Site, type_: GraphQLObjectType, fields: Fields, shape: Shape | None) -> None:
        self._site, self._type, self._fields, self._shape = site, type_, fields, shape

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        if value is None or value is Undefined:
            return None
        if type(value) is FromRows:
            if self._shape is not None:
                return self._shape.write(value.rows)[0]
            (value,) = value
        if self._type.is_type_of:
            fits = self._type.is_type_of(value, self._site.info(path, run))
            if is_awaitable(fits):
                return self._once_it_fits(fits, value, path, run)
            if not fits:
                raise self._misfit(value)
        return self._fields.answer(value, path, run)

    async def _once_it_fits(self, fits: Any, value: Any, path: Path, run: Run) -> Answer:
        if not await fits:
            raise self._misfit(value)
        answer = self._fields.answer(value, path, run)
        return await answer if type(answer) is CoroutineType else answer

    def _misfit(self, value: Any) -> GraphQLError:
        said = f"Expected value of type '{self._type}' but got: {inspect(value)}."
        return GraphQLError(said, self._site.nodes)


class OneOf:
    """An object of an interface or a union: which type it is of, the value itself has to tell. `fields` has what is
    asked of each."""

    __slots__ = ("_objects", "_site", "_type")

    def __init__(self, site: Site, type_: GraphQLAbstractType, objects: Mapping[str, ObjectOf]) -> None:
        self._site, self._type, self._objects = site, type_, objects

    def complete(self, value: Any, path: Path, run: Run) -> Answer:
        if value is None or value is Undefined:
            return None
        resolve = self._type.resolve_type or default_type_resolver
        name = resolve(value, self._site.info(path, run), self._type)
        if is_awaitable(name):
            return self._once_it_is_told(name, value, path, run)
        return self._object(name, value, run).complete(value, path, run)

    async def _once_it_is_told(self, name: Any, value: Any, path: Path, run: Run) -> Answer:
        answer = self._object(await name, value, run).complete(value, path, run)
        return await answer if type(answer) is CoroutineType else answer

    def _object(self, name: Any, value: Any, run: Run) -> ObjectOf:
        known = self._objects.get(name) if isinstance(name, str) else None
        if known is None:
            raise GraphQLError(self._what_is_wrong(name, value, run.plan.schema), self._site.nodes)
        return known

    def _what_is_wrong(self, name: Any, value: Any, schema: GraphQLSchema) -> str:
        of_field = f"Abstract type '{self._type}' must resolve to an Object type at runtime for field '{self._site}'"
        if name is None:
            return (
                f"{of_field}. Either the '{self._type}' type should provide a 'resolve_type' function or each possible"
                " type should provide an 'is_type_of' function."
            )
        if not isinstance(name, str):
            return (
                f"{of_field} with value {inspect(value)}, received '{inspect(name)}', which is not a valid Object type"
                " name."
            )
        type_ = schema.get_type(name)
        if type_ is None:
            return (
                f"Abstract type '{self._type}' was resolved to a type '{name}' that does not exist inside the schema."
            )
        if not is_object_type(type_):
            return f"Abstract type '{self._type}' was resolved to a non-object type '{name}'."
        return f"Runtime Object type '{name}' is not a possible type for '{self._type}'."
