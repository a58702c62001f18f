"""Scalars that are read as text: the model's rules say what is wrong with it, for all fields of an input at once, and
the other fields of the document get their answers."""

from datetime import datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError

from models.text import URL_LONGEST

DateTime = NewType("DateTime", str)
TimeZone = NewType("TimeZone", str)
URL = NewType("URL", str)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"It must be a string, not {value!r}.")
    return value


def write_instant(value: datetime) -> str:
    """RFC 3339, in UTC, with Z."""
    return value.isoformat().replace("+00:00", "Z")


SCALARS: dict[object, Any] = {
    DateTime: strawberry.scalar(
        name="DateTime",
        description="An ISO 8601 instant with an offset; kept and returned in UTC.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
        serialize=write_instant,
        parse_value=_text,
    ),
    TimeZone: strawberry.scalar(
        name="TimeZone", description="A time zone's name, such as Europe/Berlin.", serialize=str, parse_value=_text
    ),
    URL: strawberry.scalar(
        name="URL",
        description=f"An absolute http or https address of at most {URL_LONGEST:,} characters.",
        serialize=str,
        parse_value=_text,
    ),
}
