"""An operation's variables: their types found once, their values coerced at each request (GraphQL §6.1.2)."""

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode, is_leaf_type, is_non_null_type
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import (
    VariableValues,
    VariableValueSource,
    get_variable_values,
    input_is_nested_too_deeply,
)
from graphql.pyutils import Undefined
from graphql.utilities.coerce_input_value import coerce_input_value

from executor.arguments import NO_VARIABLES

MOST_ERRORS = 50


class Variables:
    """Of one operation, which is valid."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema, self._definitions = schema, operation.variable_definitions or ()
        self._signatures: list[Any] = [get_variable_signature(schema, one) for one in self._definitions]

    def coerced(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """The values, or what is wrong with them."""
        if not self._signatures:
            return NO_VARIABLES
        sources: dict[str, VariableValueSource] = {}
        values: dict[str, Any] = {}
        for signature in self._signatures:
            name, type_ = signature.name, signature.type
            value = given.get(name, Undefined)
            if value is Undefined and signature.default is None and not is_non_null_type(type_):
                sources[name] = VariableValueSource(signature)
                continue
            coerced = Undefined if value is Undefined else _coerced(value, type_)
            if coerced is Undefined:  # a default, or wrong: then graphql-core says how
                return get_variable_values(self._schema, self._definitions, dict(given), MOST_ERRORS)
            sources[name], values[name] = VariableValueSource(signature, value), coerced
        return VariableValues(sources, values)


def _coerced(value: Any, type_: Any) -> Any:
    """Undefined where the value does not fit."""
    inner = type_.of_type if is_non_null_type(type_) else type_
    if not is_leaf_type(inner) and input_is_nested_too_deeply(value, type_):
        return Undefined
    try:
        return coerce_input_value(value, type_)
    except RecursionError:
        return Undefined
