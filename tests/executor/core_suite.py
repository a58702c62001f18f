"""A plugin of pytest for graphql-core's own tests: what they execute is executed by our plans.

test_core_suite.py runs pytest with it in a process of its own, since it changes `graphql` itself.
"""

import importlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from types import CoroutineType, FunctionType, ModuleType
from typing import Any

import graphql
import graphql.execution
import pytest
from graphql import DocumentNode, ExecutionResult, GraphQLSchema, parse, validate
from graphql.execution.async_iterables import map_async_iterable
from graphql.execution.values import VariableValues

from executor.compiler import CannotCompile, Compiler
from executor.documents import Document, Operation, UnknownOperation
from executor.plan import Fields, Plan
from tests.executor.core_exceptions import NOT_APPLICABLE

_CORE_EXECUTE = graphql.execution.execute
_RUNNING = ["before any test"]
_PLANS: Counter[str] = Counter()  # that each test ran
_BY_CORE: dict[str, str] = {}  # the tests of which something could not be compiled, and why


class NotOffered(Exception):
    """The test wants something of graphql-core's `execute` that our executor does not have."""


def execute(
    schema: GraphQLSchema,
    document: DocumentNode,
    root_value: Any = None,
    context_value: Any = None,
    variable_values: dict[str, Any] | None = None,
    operation_name: str | None = None,
    **others: Any,
) -> Any:
    """As executor.py does it: which operation, the variables' values, the plan, its run."""
    _refuse(others)
    prepared = _prepare(schema, document, variable_values or {}, operation_name)
    if isinstance(prepared, ExecutionResult):
        return prepared
    operation, values = prepared
    try:
        plan = Compiler(schema).compile(document, operation.definition, values)
    except CannotCompile as cannot:
        _BY_CORE[_RUNNING[-1]] = cannot.reason
    else:
        return _begun(plan, root_value, context_value, values)
    return _CORE_EXECUTE(schema, document, root_value, context_value, variable_values, operation_name)


def execute_sync(*given: Any, check_sync: bool = True, **others: Any) -> ExecutionResult:
    result = execute(*given, **others)
    if isinstance(result, ExecutionResult):
        return result
    result.close()
    raise RuntimeError("GraphQL execution failed to complete synchronously.")


async def from_text(*given: Any, **others: Any) -> ExecutionResult:
    result = _from_text(execute, *given, **others)
    return result if isinstance(result, ExecutionResult) else await result


def from_text_sync(*given: Any, **others: Any) -> ExecutionResult:
    result: ExecutionResult = _from_text(execute_sync, *given, **others)
    return result


def _from_text(
    run: Callable[..., Any],
    schema: GraphQLSchema,
    source: str,
    *given: Any,
    hide_suggestions: bool = False,
    **others: Any,
) -> Any:
    document = parse(source)
    errors = validate(schema, document, hide_suggestions=hide_suggestions)
    return ExecutionResult(None, errors) if errors else run(schema, document, *given, **others)


def _refuse(others: dict[str, Any]) -> None:
    if asked_for := [name for name, value in others.items() if value is not None]:
        raise NotOffered(", ".join(asked_for))


def _prepare(
    schema: GraphQLSchema, document: DocumentNode, given: dict[str, Any], name: str | None
) -> tuple[Operation, VariableValues] | ExecutionResult:
    try:
        operation = Document("", document).operation(name)
    except UnknownOperation:
        raise NotOffered("words for an operation that is not known: web has its own") from None
    values = operation.variables(schema, given)
    return ExecutionResult(None, values) if isinstance(values, list) else (operation, values)


def _begun(plan: Plan, root: Any, context: Any, values: VariableValues) -> Any:
    """The result, where nothing of it waits; else a coroutine that comes to it, begun already. Such is graphql-core's
    `execute`, and its tests look at it; a plan's `run` is a coroutine in any case."""
    fields = plan.fields = _Watched(plan.fields)
    run = _run(plan, root, context, values)
    _PLANS[_RUNNING[-1]] += 1
    try:
        first = run.send(None)
    except StopIteration as end:
        return _ended(end.value) if fields.waited else end.value
    return _continued(run, first)


async def _run(plan: Plan, root: Any, context: Any, values: VariableValues) -> ExecutionResult:
    data, errors = await plan.run(root, context, values)
    return ExecutionResult(data, errors or None)


async def _ended(result: ExecutionResult) -> ExecutionResult:
    return result


async def _continued(run: Coroutine[Any, Any, ExecutionResult], first: Any) -> ExecutionResult:
    return await _Rest(run, first)


class _Rest:
    """What remains of a coroutine that has been sent None once, and has answered `first`."""

    def __init__(self, run: Coroutine[Any, Any, ExecutionResult], first: Any) -> None:
        self._run, self._first = run, first

    def __await__(self) -> Generator[Any, Any, ExecutionResult]:
        yielded = self._first
        try:
            while True:
                try:
                    sent = yield yielded
                except BaseException as error:
                    yielded = self._run.throw(error)
                else:
                    yielded = self._run.send(sent)
        except StopIteration as end:
            result: ExecutionResult = end.value
            return result


class _Watched(Fields):
    """The root's fields, which remember whether their answer was still to come."""

    def __init__(self, fields: Fields) -> None:
        super().__init__(fields._each)
        self.waited = False

    def answer(self, *given: Any) -> Any:
        answer = super().answer(*given)
        self.waited = type(answer) is CoroutineType
        return answer


def subscribe(
    schema: GraphQLSchema,
    document: DocumentNode,
    root_value: Any = None,
    context_value: Any = None,
    variable_values: dict[str, Any] | None = None,
    operation_name: str | None = None,
    **others: Any,
) -> Any:
    """The source is graphql-core's in executor.py too: what is ours is how each event is answered."""
    _refuse(others)
    core = graphql.execution.Executor.build(
        schema, document, root_value, context_value, variable_values, operation_name
    )
    if isinstance(core, list):
        return ExecutionResult(None, core)
    stream: Any = graphql.execution.create_source_event_stream(core)

    async def answer(event: Any) -> ExecutionResult:
        result = execute(schema, document, event, context_value, variable_values, operation_name)
        return result if isinstance(result, ExecutionResult) else await result

    def mapped(source: Any) -> Any:
        return source if isinstance(source, ExecutionResult) else map_async_iterable(source, answer)

    async def once_it_has_come() -> Any:
        return mapped(await stream)

    return once_it_has_come() if hasattr(stream, "__await__") else mapped(stream)


_OURS = {
    "execute": execute,
    "execute_sync": execute_sync,
    "subscribe": subscribe,
    "graphql": from_text,
    "graphql_sync": from_text_sync,
}
for name, ours in _OURS.items():
    for module in (graphql, graphql.execution):
        if hasattr(module, name):
            setattr(module, name, ours)


class Describe(pytest.Module):
    """A function `describe_...` whose inner functions are tests, as pytest-describe has it."""

    def _getobj(self) -> ModuleType:
        block: FunctionType = getattr(self.parent.obj, self.name)  # type: ignore[union-attr]
        module = ModuleType(self.name)
        module.__dict__.update(_locals_of(block))
        module.pytestmark = getattr(block, "pytestmark", [])  # type: ignore[attr-defined]
        return module

    def funcnamefilter(self, name: str) -> bool:
        return not name.startswith("_")

    def classnamefilter(self, name: str) -> bool:
        return False


def _locals_of(block: FunctionType) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def keep(frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is block.__code__:
            found.update(frame.f_locals)

    sys.setprofile(keep)
    try:
        block()
    finally:
        sys.setprofile(None)
    return found


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> pytest.Collector | None:
    if isinstance(obj, FunctionType) and name.startswith("describe_"):
        block: Describe = Describe.from_parent(
            collector, path=collector.path, name=name, nodeid=f"{collector.nodeid}::{name}"
        )
        return block
    return None


class _Report:
    """What became of each test, written as JSON where the session ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._outcomes: dict[str, str] = {}
        self._tests_by_entry: dict[str, int] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        by_entry = {entry: 0 for entries in NOT_APPLICABLE.values() for entry in entries}
        applicable = []
        for item in items:
            entries = [entry for entry in by_entry if _is_within(item.nodeid, entry)]
            for entry in entries:
                by_entry[entry] += 1
            if not entries:
                applicable.append(item)
        items[:] = applicable
        self._tests_by_entry = by_entry

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        _RUNNING.append(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self._outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        report = {
            "outcomes": self._outcomes,
            "plans": _PLANS,
            "by graphql-core": _BY_CORE,
            "tests by entry": self._tests_by_entry,
        }
        self._file.write_text(json.dumps(report))


def _is_within(test: str, entry: str) -> bool:
    return test.startswith(entry) and test[len(entry) :][:1] in {"", "/", ":", "["}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--core-report", type=Path, required=False)


def pytest_configure(config: pytest.Config) -> None:
    for name in ("star_wars_data", "star_wars_schema"):  # which import each other from `tests`, as ours are called
        sys.modules[f"tests.{name}"] = importlib.import_module(f"graphql_core_tests.{name}")
    config.pluginmanager.register(_Report(config.getoption("--core-report")))
