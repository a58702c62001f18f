"""What a document asks below a field, as a tree of names: by it the models read the selected columns and no others."""

from typing import Any

from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, SelectionSetNode, VariableNode

from schema.context import Info

Selection = dict[str, Any]  # each name to the Selection below it; aliases of one field are merged


def selection(info: Info) -> Selection:
    """The tree below the field that is being resolved, with fragments, @include and @skip worked out."""
    raw: GraphQLResolveInfo[Any] = info._raw_info
    tree: Selection = {}
    for node in raw.field_nodes:
        if node.selection_set:
            _collect(raw, node.selection_set, tree)
    return tree


def merged(one: Selection, other: Selection) -> Selection:
    """What either asks for."""
    both = {name: merged(one.get(name, {}), other.get(name, {})) for name in other}
    return {**one, **both}


def _collect(raw: GraphQLResolveInfo[Any], selections: SelectionSetNode, tree: Selection) -> None:
    for node in selections.selections:
        if not _is_included(raw, node):
            continue
        if isinstance(node, FieldNode):
            below = tree.setdefault(node.name.value, {})
            if node.selection_set:
                _collect(raw, node.selection_set, below)
        elif isinstance(node, FragmentSpreadNode):
            _collect(raw, raw.fragments[node.name.value].selection_set, tree)
        else:  # an inline fragment; the schema has no interfaces or unions, so its type always fits
            _collect(raw, node.selection_set, tree)  # type: ignore[attr-defined]  # the third kind of selection


def _is_included(raw: GraphQLResolveInfo[Any], node: Any) -> bool:
    for directive in node.directives or ():
        if (name := directive.name.value) in {"include", "skip"}:
            condition = directive.arguments[0].value  # validation has seen to it that there is one, a Boolean
            variables: Any = raw.variable_values  # under Strawberry's executor a plain dict
            holds = variables.get(condition.name.value) if isinstance(condition, VariableNode) else condition.value
            if bool(holds) is (name == "skip"):
                return False
    return True
