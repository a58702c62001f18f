"""The one place where an error becomes an entry of `errors`: refusals are told, faults are logged."""

import logging
import re
from typing import Any

from graphql import GraphQLError
from prometheus_client import Counter

from errors import ChangeUnread, ErrorCode, QueryTooComplex, Refusal, Unavailable

LONGEST = 500  # characters of a message that quotes the document: it may quote a megabyte
log = logging.getLogger("planner.graphql")
ERRORS = Counter("planner_errors", "Errors that clients were told.", ["code"])
for _code in ErrorCode:
    ERRORS.labels(_code)  # from the start: of a series that begins at 1, Prometheus knows no increase


def shape(error: GraphQLError, request_id: str, *, of_a_mutation: bool = False) -> dict[str, Any]:
    """The error as the client sees it, with `extensions.code`."""
    entry: dict[str, Any] = dict(error.formatted)
    cause = cause_of(error)
    if too_many := re.fullmatch(
        r"Syntax Error: Document contains more than (\d+) tokens\. Parsing aborted\.", error.message
    ):
        limit = int(too_many[1])
        cause = QueryTooComplex("tokens", limit + 1, limit)
    if of_a_mutation and isinstance(cause, Unavailable) and len(error.path or ()) > 1:
        # UNAVAILABLE says that nothing was done. Below a mutation's own field, what it changes has been changed.
        log.warning("request %s: what it changed cannot be read at %s: %s", request_id, error.path, cause)
        cause = ChangeUnread()
    if isinstance(cause, Refusal):
        entry |= {"message": str(cause), "extensions": cause.extensions}
    elif cause is None:
        entry |= {"message": error.message[:LONGEST], "extensions": {"code": ErrorCode.GRAPHQL_INVALID.value}}
    else:
        log.error("request %s failed at %s", request_id, error.path, exc_info=cause)
        entry |= {
            "message": f"The server could not answer. Ask its operator about request {request_id}.",
            "extensions": {"code": ErrorCode.INTERNAL.value},
        }
    if entry["extensions"]["code"] == ErrorCode.INTERNAL:
        entry["extensions"]["requestId"] = request_id
    ERRORS.labels(entry["extensions"]["code"]).inc()
    return entry


def cause_of(error: GraphQLError) -> BaseException | None:
    """What was raised, behind the GraphQLErrors in which graphql-core wraps it; None for a fault of the document."""
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause
