import time
from typing import Any

import pytest
from graphql import DocumentNode, OperationDefinitionNode, build_schema, parse

from errors import QueryTooComplex
from executor import Limits
from executor.cost import COUNTLESS, Measure, operation_of

SCHEMA = build_schema("""
  type Query { people(first: Int = 20): [Person!]! person: Person again: Int search: [Person!]! }
  type Person { name: String friends(first: Int): [Person!]! languages: [Person!]! age: Int search: String }
""")
LIMITS = Limits(
    tokens=2_000,
    depth=4,
    cost=1_000,
    page=100,
    once=frozenset({"again"}),
    weights={"Query.search": 500, "Person.age": 50, "Query.__type": 200},
    lists={"Person.languages": 3, "__Schema.types": 10},
)


def measure(document: str, **variables: Any) -> Measure:
    parsed = parse(document)
    return Measure.of(operation_of(parsed, None), parsed, SCHEMA, variables, LIMITS)


@pytest.mark.parametrize(
    ("document", "depth", "cost"),
    [
        ("{ person { name } }", 2, 2),
        ("{ a: person { name } b: person { name } }", 2, 4),
        ("{ people(first: 3) { name friends { name } } }", 3, 1 + 3 * (1 + 2)),
        ("{ people { name } }", 2, 1 + 20),
        ("{ people(first: 100) { friends(first: 100) { name } } }", 3, 1 + 100 * (1 + 100)),
        ("{ people(first: 5000) { name } }", 2, 1 + 100),
        ("{ people(first: -1) { name } }", 2, 2),
        ("{ people(first: " + "9" * 5_000 + ") { name } }", 2, 1 + 20),
        ("{ ...A ...A } fragment A on Query { person { ...B } } fragment B on Person { name }", 2, 4),
        ("{ person { ... on Person { name } ... { name } } }", 2, 3),
        ("{ unknown { name } ...Nowhere }", 2, 2),
        ("{ ...A } fragment A on Query { again ...A }", 1, 1),
        ("{ search { search } }", 2, 500 + 1),
        ("{ people(first: 10) { age } }", 2, 1 + 10 * 50),
        ("{ person { languages { name } } }", 3, 2 + 3),
        ('{ __type(name: "Person") { name } }', 2, 200 + 1),
        ("{ __schema { types { name } } }", 3, 2 + 10),
    ],
)
def test_a_document_is_measured_by_the_values_that_its_answer_may_hold(document: str, depth: int, cost: int) -> None:
    found = measure(document)

    assert (found.depth, found.cost) == (depth, cost)


def test_a_page_size_may_stand_in_a_variable() -> None:
    document = "query ($n: Int = 7) { people(first: $n) { name } }"

    assert measure(document).cost == 1 + 7
    assert measure(document, n=50).cost == 1 + 50
    assert measure(document, n=50.0).cost == 1 + 50  # GraphQL takes it for an Int
    assert measure(document, n=50.5).cost == 2
    assert measure(document, n="many").cost == 2
    assert measure(document, n=50).variables
    assert not measure("{ people(first: 50) { name } }").variables


@pytest.mark.parametrize(
    ("document", "measure_", "cost"),
    [
        ("{ person { friends { friends { friends { name } } } } }", "levels", 5),
        (
            "{ people(first: 100) { a: name b: name friends(first: 10) { name } } }",
            "values in its answer, at most",
            1301,
        ),
        ("{ a: again b: again }", "fields of again", 2),
        ("{ again ...A } fragment A on Query { c: again }", "fields of again", 2),
        ("{" + "person { name } " * 101 + "}", "repeats of one field", 101),
        ("{ ...A ...A } fragment A on Query {" + "a: person { name } " * 101 + "}", "repeats of one field", 101),
        ("{ person { name } } query B {" + "person { name } " * 100 + "}", "repeats of one field", 101),
    ],
)
def test_what_is_past_a_limit_is_refused_with_both_numbers(document: str, measure_: str, cost: int) -> None:
    with pytest.raises(QueryTooComplex) as refused:
        LIMITS.refuse(measure(document))

    assert (refused.value.measure, refused.value.cost) == (measure_, cost)


@pytest.mark.parametrize(
    "document",
    [
        "{" + "person { name } " * 100 + "}",
        "{" + "".join(f"a{n}: person {{ name }} " for n in range(101)) + "}",
        "{ person {" + "name " * 101 + "} }",
        "{" + "...A " * 101 + "} fragment A on Query { person { name } }",
    ],
)
def test_what_validation_compares_quickly_may_repeat(document: str) -> None:
    LIMITS.refuse(measure(document))


def test_fragments_that_spell_out_countless_fields_are_measured_in_one_pass() -> None:
    chain = " ".join(f"fragment A{n} on Query {{ ...A{n + 1} ...A{n + 1} }}" for n in range(100))
    plain = parse("{" + "again " * 1_000 + "}")
    bomb = parse("{ ...A0 } " + chain + " fragment A100 on Query { again }")

    assert Measure.of(operation_of(bomb, None), bomb, SCHEMA, {}, LIMITS).cost == COUNTLESS
    assert seconds(bomb) < 5 * seconds(plain)


def seconds(document: DocumentNode) -> float:
    """The best of five: the time that measuring a document takes."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        Measure.of(operation_of(document, None), document, SCHEMA, {}, LIMITS)
        times.append(time.perf_counter() - start)
    return min(times)


def test_an_operation_is_found_by_its_name() -> None:
    two = parse("query A { again } query B { person { name } }")

    found = operation_of(two, "B")
    assert isinstance(found, OperationDefinitionNode)
    assert found.name is not None
    assert found.name.value == "B"
    assert operation_of(two, None) is None
    assert operation_of(two, "C") is None
