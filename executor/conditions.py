"""@include and @skip: which variables they look at, and what they say (GraphQL §3.13.1, §3.13.2)."""

from collections.abc import Iterator
from typing import Any

from graphql import DocumentNode, GraphQLIncludeDirective, GraphQLSkipDirective, VariableNode
from graphql.execution.values import VariableValues, get_argument_values

_DIRECTIVES = {"include": GraphQLIncludeDirective, "skip": GraphQLSkipDirective}


def is_included(node: Any, variables: VariableValues) -> bool:
    """Raises GraphQLError where a condition is no Boolean."""
    return all(
        bool(get_argument_values(_DIRECTIVES[name], directive, variables)["if"]) is (name == "include")
        for name, directive in _conditions(node)
    )


def variables_of(document: DocumentNode) -> tuple[str, ...]:
    """The variables that conditions in the document look at: while these are the same, so is what is asked."""
    found: dict[str, None] = {}
    pending: list[Any] = list(document.definitions)
    while pending:
        node = pending.pop()
        for _, directive in _conditions(node):
            given = directive.arguments or ()  # none, where the document is not valid
            found.update((one.value.name.value, None) for one in given if isinstance(one.value, VariableNode))
        if below := getattr(node, "selection_set", None):
            pending += below.selections
    return tuple(found)


def _conditions(node: Any) -> Iterator[tuple[str, Any]]:
    for directive in getattr(node, "directives", None) or ():
        if (name := directive.name.value) in _DIRECTIVES:
            yield name, directive
