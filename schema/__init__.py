"""What clients see: Query, Mutation and Subscription, composed from the files beside this one."""

from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from errors import ErrorCode
from executor import Executor, Limits
from models import pages
from schema.account import AccountMutation, AccountQuery
from schema.change import Subscription
from schema.event import EventQuery
from schema.freshness import Freshness
from schema.publishing import EventMutation
from schema.rsvp import RsvpMutation
from schema.scalars import SCALARS

_CODES = {
    ErrorCode.UNAUTHENTICATED: "No token, where one is needed.",
    ErrorCode.TOKEN_INVALID: "A token that is malformed, forged, or not meant for this service.",
    ErrorCode.TOKEN_REVOKED: "Its session was signed out, or its account is gone.",
    ErrorCode.VALIDATION: "extensions.fields maps each field of the input to what is wrong with it.",
    ErrorCode.INVALID_CREDENTIALS: "Wrong e-mail or password; never says which.",
    ErrorCode.CONFLICT: "The event has changed since the version that was sent.",
    ErrorCode.RATE_LIMITED: "extensions.retryAfter is the wait in seconds.",
    ErrorCode.QUERY_TOO_COMPLEX: "Deeper, wider or dearer than the server allows; extensions say the cost and the"
    " limit.",
    ErrorCode.GRAPHQL_INVALID: "The document does not parse or does not fit the schema.",
    ErrorCode.BAD_REQUEST: "The HTTP request is not a GraphQL request.",
    ErrorCode.UNAVAILABLE: "The database or a full queue cannot answer now; extensions.retryAfter is the wait in"
    " seconds. Nothing was done.",
    ErrorCode.INTERNAL: "A fault of the server's; extensions.requestId finds it in the log, and nothing else is told.",
}


# GraphiQL's introspection has 15 levels; a list of 100 with all fields costs 2,000.
LIMITS = Limits(
    tokens=2_000,
    depth=20,
    cost=20_000,
    page=pages.LARGEST,
    once=frozenset({"__schema", "signup", "signin", "refresh", "changePassword", "deleteAccount"}),
    # One value each, for which the database reads a whole table, a whole list; or a description of a type is made.
    weights={
        "Query.tags": 2_000,
        "EventConnection.totalCount": 50,
        "RsvpConnection.totalCount": 50,
        "Query.__type": 200,
    },
    # Fields on the average: most types have none. Who asks for one type asks for the largest.
    lists={"__Schema.types": 50, "__Type.fields": 3, "Query.__type": 8},
)


# Scalars that JSON says as they stand in a column; instants, orjson writes as DateTime does.
AS_READ = frozenset({"ID", "String", "Int", "Boolean", "DateTime", "TimeZone", "URL"})


@strawberry.type
class Query(AccountQuery, EventQuery):
    pass


@strawberry.type
class Mutation(AccountMutation, EventMutation, RsvpMutation):
    pass


def build_schema() -> strawberry.Schema:
    codes = strawberry.enum(
        ErrorCode,
        description="Every value that extensions.code can take. No field returns it: it is published for clients and"
        " their code generators.",
    )
    built = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[codes],
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    published: Any = built._schema.type_map["ErrorCode"]
    for code, description in _CODES.items():
        published.values[code.value].description = description
    return built


schema = build_schema()


def build_executor(freshness: Freshness | None = None) -> Executor:
    """Strawberry says what there is and how it is resolved; the executor runs it. Without `freshness` all is read from
    one database."""
    return Executor(schema._schema, LIMITS, as_read=AS_READ, around=freshness.around if freshness else None)
