"""A field's arguments: worked out once where the document says them, and looked up where variables do."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from graphql import FieldNode, GraphQLArgument, GraphQLField, VariableNode, is_non_null_type
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language import ArgumentNode, ValueNode
from graphql.pyutils import Undefined
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal

NO_VARIABLES = VariableValues({}, {})

# What is of one of these types never changes, and is neither an error nor still to come: it can be kept for the next
# call, and be written without asking.
PLAIN = frozenset({str, int, float, bool, type(None), datetime, date, Decimal, UUID})


class Arguments:
    """Most are literals, defaults, or a variable each. Where they are anything else, such as an input object with a
    variable in it, or where one is wrong or no plain value, graphql-core looks at them all at each call."""

    __slots__ = ("_definition", "_fixed", "_has_containers", "_is_plain", "_node", "_variables")

    def __init__(self, definition: GraphQLField, node: FieldNode) -> None:
        self._definition, self._node = definition, node
        self._fixed: dict[str, Any] = {}
        self._variables: list[tuple[str, str, Any, bool]] = []  # what it is called, by which variable, default, null
        given = {one.name.value: one for one in node.arguments or ()}
        try:
            for name, argument in definition.args.items():
                self._add(argument.out_name or name, argument, given.get(name))
            self._is_plain = True
        except Exception:  # also what an input type raises: each call is to meet it, and tell it as the field's error
            self._is_plain = False
        # A resolver may change what it is given: lists and objects are made anew for each.
        self._has_containers = any(isinstance(value, dict | list) for value in self._fixed.values())

    def values(self, variables: VariableValues) -> dict[str, Any]:
        """By the names that the resolver knows. Raises GraphQLError."""
        if not self._is_plain:
            return get_argument_values(self._definition, self._node, variables)
        values = {name: _copy(value) for name, value in self._fixed.items()} if self._has_containers else self._fixed
        if not self._variables:
            return values
        values, coerced = values.copy(), variables.coerced
        for name, variable, default, is_nullable in self._variables:
            if variable in coerced:
                value = coerced[variable]
                if value is None and not is_nullable:
                    return get_argument_values(self._definition, self._node, variables)  # raises, and says why
                values[name] = value
            elif default is not Undefined:
                values[name] = _copy(default)
            elif not is_nullable:
                return get_argument_values(self._definition, self._node, variables)
        return values

    def _add(self, name: str, argument: GraphQLArgument, given: ArgumentNode | None) -> None:
        is_nullable, default = not is_non_null_type(argument.type), coerce_default_value(argument)
        if given is None:
            if default is not Undefined:
                self._fixed[name] = default
            elif not is_nullable:
                raise _NotPlain
        elif isinstance(given.value, VariableNode):
            self._variables.append((name, given.value.name.value, default, is_nullable))
        else:
            if _has_variables(given.value):
                raise _NotPlain
            value = coerce_input_literal(given.value, argument.type, NO_VARIABLES)
            if value is Undefined or not _can_be_kept(value):
                raise _NotPlain
            self._fixed[name] = value


class _NotPlain(Exception):
    """graphql-core has to look at it."""


def _has_variables(node: ValueNode) -> bool:
    pending: list[Any] = [node]
    while pending:
        one = pending.pop()
        if isinstance(one, VariableNode):
            return True
        pending += getattr(one, "values", ())  # of a list
        pending += (field.value for field in getattr(one, "fields", ()))  # of an object
    return False


def _can_be_kept(value: Any) -> bool:
    """Whether a resolver that changes what it is given changes nothing for the next. Scalars and input types may make
    objects of their own, which cannot be copied without knowing them."""
    if isinstance(value, dict):
        return all(map(_can_be_kept, value.values()))
    if isinstance(value, list):
        return all(map(_can_be_kept, value))
    return type(value) in PLAIN or isinstance(value, Enum)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value
