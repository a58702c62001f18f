"""What is published has the names and shapes that clients were promised in contract.graphql, as far as it is built."""

from pathlib import Path
from typing import Any

from graphql import GraphQLNamedType, build_schema

from schema import LIMITS, schema

PROMISED = build_schema((Path(__file__).parent / "contract.graphql").read_text(encoding="utf-8"))
PUBLISHED = build_schema(schema.as_str())


def shapes(type_: GraphQLNamedType) -> dict[str, str]:
    """Each field, argument and value of the type, with its type as text."""
    found = dict.fromkeys(getattr(type_, "values", {}), "value")
    fields: dict[str, Any] = getattr(type_, "fields", {})
    for name, field in fields.items():
        found[name] = str(field.type)
        found |= {f"{name}({argument})": str(one.type) for argument, one in getattr(field, "args", {}).items()}
    return found


def test_what_is_published_has_the_promised_shape() -> None:
    for name, published in PUBLISHED.type_map.items():
        if name.startswith("__") or name not in PROMISED.type_map:
            continue
        promised, built = shapes(PROMISED.type_map[name]), shapes(published)
        assert built == {key: promised.get(key, "(not promised)") for key in built}, name


def test_every_error_code_is_published_with_what_was_promised_of_it() -> None:
    promised, published = (one.type_map["ErrorCode"] for one in (PROMISED, PUBLISHED))

    assert shapes(published) == shapes(promised)
    assert _descriptions(published) == _descriptions(promised)


def _descriptions(type_: Any) -> dict[str, str | None]:
    return {name: value.description for name, value in type_.values.items()}


def test_the_limits_speak_of_fields_that_there_are() -> None:
    """A name misspelled there would cost nothing."""
    fields = {f"{name}.{field}" for name, one in PUBLISHED.type_map.items() for field in getattr(one, "fields", {})}

    assert LIMITS.weights.keys() <= fields | {"Query.__type"}
    assert LIMITS.lists.keys() <= fields | {"Query.__type"}
    assert LIMITS.once <= {one.partition(".")[2] for one in fields} | {"__schema"}
    assert {one for one in fields if one.endswith(".totalCount")} <= LIMITS.weights.keys()
