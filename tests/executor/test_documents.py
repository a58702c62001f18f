from dataclasses import replace
from typing import Any

import pytest
from graphql import build_schema, parse

from executor import Executor, Limits, UnknownOperation
from executor.compiler import Compiler
from executor.cost import Measure
from executor.documents import (
    LONGEST_KEPT,
    MOST,
    MOST_CHARACTERS,
    MOST_MEASURES,
    MOST_PLANS,
    Document,
    Documents,
)

SCHEMA = build_schema("type Query { a: Int, b: Int }")
LIMITS = Limits(tokens=100, depth=10, cost=100, page=100, once=frozenset())


def document(text: str) -> Document:
    return Document(text, parse(text))


def test_a_document_is_found_by_its_text() -> None:
    documents, one, other = Documents(), document("{ a }"), document("{ b }")
    documents.keep(one)
    documents.keep(other)

    assert documents.find("{ a }") is one
    assert documents.find("{ b }") is other
    assert documents.find("{ a b }") is None


async def test_an_operation_is_known_while_its_document_is_kept() -> None:
    executor, text = Executor(SCHEMA, LIMITS), "query A { a } query B { b }"
    assert executor.known(text, "B") is None

    await executor.execute(text, operation_name="A")

    known = executor.known(text, "B")
    assert known is not None
    assert known.label == ("B", "query")
    assert executor.known(text) is None


def test_a_flood_of_documents_drives_out_none_that_is_used_again() -> None:
    documents, used = Documents(), document("{ used }")
    documents.keep(used)
    documents.find("{ used }")
    for number in range(3 * MOST):
        documents.keep(document(f"{{ f{number} }}"))

    assert documents.find("{ used }") is used
    assert documents.find("{ f0 }") is None
    assert len(documents) <= MOST + 1


def test_documents_that_are_used_twice_each_do_not_grow_the_store_either() -> None:
    documents = Documents()
    for number in range(3 * MOST):
        documents.keep(document(f"{{ f{number} }}"))
        documents.find(f"{{ f{number} }}")

    assert len(documents) == MOST


def test_long_documents_grow_the_store_no_further() -> None:
    documents = Documents()
    for number in range(3 * MOST_CHARACTERS // LONGEST_KEPT):
        documents.keep(document(f"{{ f{number} }} #".ljust(LONGEST_KEPT, "x")))

    assert len(documents) == MOST_CHARACTERS // LONGEST_KEPT


def test_a_very_long_document_is_not_kept() -> None:
    documents, long = Documents(), "{ a } #" + "x" * LONGEST_KEPT
    documents.keep(document(long))

    assert documents.find(long) is None


async def test_answers_to_conditions_have_plans_of_their_own_and_not_too_many() -> None:
    names = [f"v{number}" for number in range(6)]
    asked = "".join(f" {name}: a @include(if: ${name})" for name in names)
    text = f"query ({', '.join(f'${name}: Boolean!' for name in names)}) {{ b{asked} }}"
    executor = Executor(SCHEMA, replace(LIMITS, tokens=200))

    for number in range(2 ** len(names)):
        answers = {name: bool(number >> at & 1) for at, name in enumerate(names)}
        result = await executor.execute(text, answers)
        assert result.data == {"b": None, **{name: None for name, asked in answers.items() if asked}}

    found = executor._documents.find(text)
    assert found is not None
    assert len(found.operation(None)._plans) == MOST_PLANS


def test_what_is_asked_again_is_not_compiled_again() -> None:
    operation = document("{ a }").operation(None)
    values = operation.variables(SCHEMA, {})
    assert not isinstance(values, list)

    operation.keep(values, operation.compiled(Compiler(SCHEMA), values))
    assert operation.plan(values) is operation.plan(values)


@pytest.mark.parametrize(("text", "compiled"), [("{ a }", 1), ("{ a } #".ljust(LONGEST_KEPT + 1, "x"), 3)])
async def test_a_request_compiles_once_at_most(text: str, compiled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose document is too long to be kept, which is compiled in another thread."""
    times, compile_ = [], Compiler.compile

    def counted(*given: Any) -> Any:
        times.append(1)
        return compile_(*given)

    monkeypatch.setattr(Compiler, "compile", counted)
    executor = Executor(SCHEMA, LIMITS)
    for _ in range(3):
        assert (await executor.execute(text)).data == {"a": None}

    assert len(times) == compiled


@pytest.mark.parametrize("name", [None, "C"])
def test_of_several_operations_one_must_be_named(name: str | None) -> None:
    several = document("query A { a } query B { b }")

    assert several.operation("A").name == "A"
    with pytest.raises(UnknownOperation):
        several.operation(name)


@pytest.mark.parametrize("text", ["{", "", "{" + "a " * 101 + "}", "{a" * 5_000])
async def test_what_does_not_parse_is_refused(text: str) -> None:
    result = await Executor(SCHEMA, LIMITS).execute(text)

    assert not result.was_executed
    assert result.errors[0].message.startswith("Syntax Error")


def test_what_is_asked_again_with_the_same_sizes_is_not_measured_again() -> None:
    schema = build_schema("type Query { a(first: Int): [A] } type A { b: Int }")
    operation = document("query ($n: Int) { a(first: $n) { b } }").operation(None)

    def measure(n: object) -> Measure:
        return operation.measure(schema, {"n": n}, LIMITS)

    assert measure(5) is measure(5)
    assert measure(1) is not measure(True)  # which are one key to Python
    assert measure([5]) == measure([5])  # which is no size, and no key
    for n in range(100):
        measure(n)
    assert len(operation._measures) == MOST_MEASURES


async def test_a_condition_that_says_nothing_is_refused() -> None:
    result = await Executor(SCHEMA, LIMITS).execute("{ __typename @include }")

    assert not result.was_executed
    assert "Boolean!" in result.errors[0].message
