"""Document to plan: what can be known before anything is asked is worked out here, once.

Which fields are asked of which type, in which order and under which keys (GraphQL §6.3.2, worked out by graphql-core's
own `collect_fields`); how each gets its value; how the value is completed. @include and @skip are worked out too, so a
plan holds for one set of answers to them.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    default_field_resolver,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from graphql.type.directives import GraphQLDisableErrorPropagationDirective

from executor.arguments import Arguments
from executor.plan import (
    Attribute,
    Call,
    Field,
    Fields,
    Kind,
    Leaf,
    LeafAttribute,
    ListOf,
    ListOfLeaves,
    NonNull,
    ObjectOf,
    OneOf,
    Plan,
    Site,
    Text,
    Typename,
)
from executor.reads import Before, FromRow, Same, Shape, before_of
from executor.resolvers import resolver_of

_Nodes = list[FieldDetails]
_NO_PROPAGATION = GraphQLDisableErrorPropagationDirective.name


class Reason(StrEnum):
    """The document has something that no plan is made for."""

    NO_ROOT = "the schema has no such root"
    FRAGMENT_VARIABLES = "fragments with variables"
    NO_PROPAGATION = "no propagation of errors"
    NO_BOOLEAN = "a condition that is no Boolean"
    DEPTH = "selections nested too deeply"


class CannotCompile(Exception):
    """graphql-core has to run the document."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Compiler:
    """`as_read` names the scalars whose values JSON can say as they stand in a column."""

    def __init__(self, schema: GraphQLSchema, as_read: Collection[str] = ()) -> None:
        self._schema, self._as_read = schema, frozenset(as_read)

    def compile(self, document: DocumentNode, operation: OperationDefinitionNode, variables: VariableValues) -> Plan:
        """Raises CannotCompile."""
        root = self._schema.get_root_type(operation.operation)
        if root is None:
            raise CannotCompile(Reason.NO_ROOT)
        fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
        if any(one.variable_definitions for one in fragments.values()):
            raise CannotCompile(Reason.FRAGMENT_VARIABLES)
        if any(one.name.value == _NO_PROPAGATION for one in operation.directives or ()):
            raise CannotCompile(Reason.NO_PROPAGATION)
        try:
            walk = _Walk(self._schema, self._as_read, operation, fragments, variables)
            fields = walk.root(root)
        except GraphQLError as error:
            raise CannotCompile(Reason.NO_BOOLEAN) from error
        except RecursionError:
            raise CannotCompile(Reason.DEPTH) from None
        is_serial = operation.operation is OperationType.MUTATION
        return Plan(self._schema, operation, fragments, fields, is_serial=is_serial, befores=walk.befores)


class _Walk:
    """One walk over an operation. What is asked by the same nodes is compiled once, so that a fragment costs as much
    when it is spread a hundred times as when it is spread once."""

    def __init__(
        self,
        schema: GraphQLSchema,
        as_read: frozenset[str],
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: VariableValues,
    ) -> None:
        self._schema, self._as_read, self._operation, self._variables = schema, as_read, operation, variables
        self._fragments = {name: FragmentDetails(definition) for name, definition in fragments.items()}
        self._known: dict[Any, tuple[Fields, Shape | None]] = {}
        self.befores: set[Before] = set()

    def root(self, type_: GraphQLObjectType) -> Fields:
        asked = collect_fields(self._schema, self._fragments, self._variables, type_, self._operation)
        self._root_fields = Counter(nodes[0].node.name.value for nodes in asked.grouped_field_set.values())
        return self._fields(type_, asked.grouped_field_set)[0]

    def _below(self, type_: GraphQLObjectType, nodes: _Nodes) -> tuple[Fields, Shape | None]:
        key = (type_.name, *(id(one.node) for one in nodes))
        if key not in self._known:
            asked = collect_subfields(self._schema, self._fragments, self._variables, self._operation, type_, nodes)
            self._known[key] = self._fields(type_, asked.grouped_field_set)
        return self._known[key]

    def _fields(self, type_: GraphQLObjectType, grouped: Mapping[str, _Nodes]) -> tuple[Fields, Shape | None]:
        fields: list[Field] = []
        keys: dict[str, Any] = {}
        stands_on_a_table = _origin(type_) is not None
        for key, nodes in grouped.items():
            name = nodes[0].node.name.value
            definition = self._schema.get_field(type_, name)
            if definition is None:
                continue
            if name == "__typename":
                fields.append(Typename(key, type_.name))
                keys[key] = Same(type_.name)
            else:
                fields.append(self._field(key, type_, definition, nodes))
                if stands_on_a_table:
                    keys[key] = self._column(definition, nodes)
        is_shaped = stands_on_a_table and None not in keys.values()
        return Fields(fields), Shape(keys) if is_shaped else None

    def _field(self, key: str, parent: GraphQLObjectType, definition: GraphQLField, nodes: _Nodes) -> Field:
        asked = [one.node for one in nodes]
        if before := before_of(definition):
            self.befores.add(before)
        is_root = parent is self._schema.get_root_type(self._operation.operation)
        site = Site(parent, definition, asked, is_alone=is_root and self._root_fields[asked[0].name.value] == 1)
        kind, is_nullable = self._kind(definition.type, site, nodes), not is_non_null_type(definition.type)
        attribute = _attribute(definition)
        if attribute is None:
            resolve = resolver_of(definition) or definition.resolve or default_field_resolver
            arguments = Arguments(definition, asked[0])
            return Call(resolve, arguments, key, site, kind, is_nullable=is_nullable)
        is_leaf = is_leaf_type(definition.type.of_type if is_non_null_type(definition.type) else definition.type)
        return (LeafAttribute if is_leaf else Attribute)(attribute, key, site, kind, is_nullable=is_nullable)

    def _kind(self, type_: Any, site: Site, nodes: _Nodes) -> Kind:
        if is_non_null_type(type_):
            return NonNull(self._kind(type_.of_type, site, nodes), site)
        if is_list_type(type_):
            item = type_.of_type
            of_leaves = is_leaf_type(item.of_type if is_non_null_type(item) else item)
            kind, is_nullable = self._kind(item, site, nodes), not is_non_null_type(item)
            return (ListOfLeaves if of_leaves else ListOf)(
                site, kind, self._shape(item, nodes), is_nullable=is_nullable
            )
        if is_leaf_type(type_):
            return Text(type_) if type_.name in {"String", "ID"} else Leaf(type_)
        if is_abstract_type(type_):
            possible = self._schema.get_possible_types(type_)
            return OneOf(site, type_, {one.name: self._object(one, site, nodes) for one in possible})
        return self._object(type_, site, nodes)

    def _object(self, type_: GraphQLObjectType, site: Site, nodes: _Nodes) -> ObjectOf:
        return ObjectOf(site, type_, *self._below(type_, nodes))

    def _shape(self, type_: Any, nodes: _Nodes) -> Shape | None:
        """Of an object that stands on a table, where all that is asked of it are columns."""
        type_ = type_.of_type if is_non_null_type(type_) else type_
        return self._below(type_, nodes)[1] if isinstance(type_, GraphQLObjectType) else None

    def _column(self, definition: GraphQLField, nodes: _Nodes) -> str | tuple[str, Shape] | None:
        """What a field is in its object's row. None where its value is not written as it is read."""
        attribute = _attribute(definition)
        if attribute is None:
            return None
        named = get_named_type(definition.type)
        if not is_leaf_type(named):
            shape = self._shape(definition.type, nodes)
            return (attribute, shape) if shape else None
        is_enum = all(name == one.value for name, one in getattr(named, "values", {}).items())
        return attribute if named.name in self._as_read or (hasattr(named, "values") and is_enum) else None


def _origin(type_: GraphQLObjectType) -> type[FromRow] | None:
    """The class of a type that stands on a table."""
    made_of = type_.extensions.get("strawberry-definition")
    origin = getattr(made_of, "origin", None)
    return origin if isinstance(origin, type) and issubclass(origin, FromRow) else None


def _attribute(definition: GraphQLField) -> str | None:
    """The attribute that Strawberry reads, where a field has no resolver."""
    made_of: Any = definition.extensions.get("strawberry-definition")
    return made_of.python_name if made_of is not None and made_of.is_basic_field else None
