import pytest
from graphql import GraphQLSyntaxError

from executor import Documents, Limits
from executor.documents import LONGEST_KEPT, MOST, MOST_CHARACTERS

LIMITS = Limits(tokens=100, depth=10, cost=100, page=100, once=frozenset())


def test_a_document_is_parsed_once() -> None:
    documents = Documents(LIMITS)

    assert documents.get("{ a }") is documents.get("{ a }")
    assert documents.get("{ a }") is not documents.get("{ b }")


def test_a_flood_of_documents_does_not_grow_the_store() -> None:
    documents = Documents(LIMITS)
    used = documents.get("{ used }")
    for number in range(2 * MOST):
        documents.get(f"{{ f{number} }}")
        assert documents.get("{ used }") is used  # whoever is asked for stays

    assert len(documents._kept) == MOST


def test_a_very_long_document_is_not_kept() -> None:
    documents = Documents(LIMITS)
    long = "{ a } #" + "x" * LONGEST_KEPT

    assert documents.get(long) is not documents.get(long)


def test_long_documents_grow_the_store_no_further() -> None:
    documents = Documents(LIMITS)
    used = documents.get("{ used }")
    for number in range(2 * MOST_CHARACTERS // LONGEST_KEPT):
        documents.get(f"{{ f{number} }} #".ljust(LONGEST_KEPT, "x"))
        assert documents.get("{ used }") is used

    assert MOST_CHARACTERS - LONGEST_KEPT < sum(len(one.text) for one in documents._kept.values()) <= MOST_CHARACTERS


@pytest.mark.parametrize("text", ["{", "", "{" + "a " * 101 + "}", "{a" * 5_000])
def test_what_does_not_parse_is_a_syntax_error(text: str) -> None:
    with pytest.raises(GraphQLSyntaxError):
        Documents(LIMITS).get(text)
