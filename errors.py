"""Every refusal that a client can meet. Knows neither GraphQL nor HTTP: `web` shapes these into answers."""

from enum import StrEnum
from typing import Any, ClassVar


class ErrorCode(StrEnum):
    """Every value that extensions.code can take. No field returns it: it is published for clients and their code
    generators."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - a code, not a password (the next two likewise)
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    VALIDATION = "VALIDATION"
    INVALID_CREDENTIALS = "INVALID_CREDENTIALS"
    EMAIL_TAKEN = "EMAIL_TAKEN"
    USERNAME_TAKEN = "USERNAME_TAKEN"
    CONFLICT = "CONFLICT"
    EVENT_CANCELLED = "EVENT_CANCELLED"
    CAPACITY_BELOW_CONFIRMED = "CAPACITY_BELOW_CONFIRMED"
    RATE_LIMITED = "RATE_LIMITED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    GRAPHQL_INVALID = "GRAPHQL_INVALID"
    BAD_REQUEST = "BAD_REQUEST"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class Refusal(Exception):
    """What a rule says no with. Its text is told to the client as it is, so it never holds other people's data."""

    code: ClassVar[ErrorCode]

    @property
    def extensions(self) -> dict[str, Any]:
        """What stands in the error's `extensions`: the code, and what the client needs to act on it."""
        return {"code": self.code.value}


class Unauthenticated(Refusal):
    code = ErrorCode.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__("Sign in, and send the access token as Authorization: Bearer <token>.")


class TokenInvalid(Refusal):
    code = ErrorCode.TOKEN_INVALID

    def __init__(self) -> None:
        # One text for every cause: which check a forged token failed is nobody's business.
        super().__init__("The access token is not valid. Sign in again for a new one.")


class TokenExpired(Refusal):
    code = ErrorCode.TOKEN_EXPIRED

    def __init__(self) -> None:
        super().__init__("The access token has expired. Sign in again for a new one.")


class TokenRevoked(Refusal):
    code = ErrorCode.TOKEN_REVOKED

    def __init__(self) -> None:
        super().__init__("The access token's session has ended. Sign in again for a new one.")


class RefreshTokenInvalid(Refusal):
    code = ErrorCode.TOKEN_INVALID

    def __init__(self) -> None:
        super().__init__("The refresh token is not valid. Sign in again.")


class SessionExpired(Refusal):
    code = ErrorCode.TOKEN_EXPIRED

    def __init__(self) -> None:
        super().__init__("The session is over: it was not used for too long, or is too old. Sign in again.")


class SessionEnded(Refusal):
    code = ErrorCode.TOKEN_REVOKED

    def __init__(self) -> None:
        super().__init__("This refresh token was used before, so the session has been ended. Sign in again.")


class ValidationFailed(Refusal):
    """`fields` maps each wrong field of the input (or argument), by its GraphQL name, to what is wrong with it."""

    code = ErrorCode.VALIDATION

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("Some values are not acceptable: " + " ".join(f"{k}: {v}" for k, v in fields.items()))
        self.fields = fields

    @property
    def extensions(self) -> dict[str, Any]:
        return {**super().extensions, "fields": self.fields}


class InvalidCredentials(Refusal):
    code = ErrorCode.INVALID_CREDENTIALS

    def __init__(self) -> None:
        super().__init__("Wrong e-mail or password.")


class EmailTaken(Refusal):
    code = ErrorCode.EMAIL_TAKEN

    def __init__(self) -> None:
        super().__init__("An account with this e-mail exists already. Sign in, or use another e-mail.")


class UsernameTaken(Refusal):
    code = ErrorCode.USERNAME_TAKEN

    def __init__(self) -> None:
        super().__init__("This username is taken. Choose another.")


class Forbidden(Refusal):
    code = ErrorCode.FORBIDDEN


class NotFound(Refusal):
    """`what` is a noun, such as "event"."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.")


class Conflict(Refusal):
    """`version` is the event's current one."""

    code = ErrorCode.CONFLICT

    def __init__(self, version: int) -> None:
        super().__init__(f"The event has changed: it is at version {version} now. Read it again, then change that.")
        self.version = version

    @property
    def extensions(self) -> dict[str, Any]:
        return {**super().extensions, "version": self.version}


class KeyReused(Refusal):
    code = ErrorCode.CONFLICT

    def __init__(self) -> None:
        super().__init__("This idempotencyKey was used for another input. Take a new key for a new event.")


class EventCancelled(Refusal):
    code = ErrorCode.EVENT_CANCELLED

    def __init__(self) -> None:
        super().__init__("The event is cancelled, and stays as it is; its creator can still delete it.")


class CapacityBelowConfirmed(Refusal):
    code = ErrorCode.CAPACITY_BELOW_CONFIRMED

    def __init__(self, capacity: int, confirmed: int) -> None:
        held = "1 person holds a seat" if confirmed == 1 else f"{confirmed} people hold a seat"
        super().__init__(f"{held}, so the capacity cannot be {capacity}.")
        self.confirmed = confirmed

    @property
    def extensions(self) -> dict[str, Any]:
        return {**super().extensions, "confirmed": self.confirmed}


class QueryTooComplex(Refusal):
    """`measure` names what is counted, such as "tokens"; `cost` is how many there are, `limit` how many may be."""

    code = ErrorCode.QUERY_TOO_COMPLEX

    def __init__(self, measure: str, cost: int, limit: int) -> None:
        super().__init__(f"The document has {cost} {measure}; the limit is {limit}. Ask for less at once.")
        self.measure, self.cost, self.limit = measure, cost, limit

    @property
    def extensions(self) -> dict[str, Any]:
        return {**super().extensions, "measure": self.measure, "cost": self.cost, "limit": self.limit}


class BadRequest(Refusal):
    code = ErrorCode.BAD_REQUEST


class RateLimited(Refusal):
    """`retry_after` is the wait in seconds."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, retry_after: int) -> None:
        # One text for every count: which one is full would tell whether there is such an account.
        super().__init__(f"Too many tries. Try again in {retry_after} s.")
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, Any]:
        return {**super().extensions, "retryAfter": self.retry_after}


class ChangeUnread(Refusal):
    """What was asked for was done; what it was to be answered with cannot be read now."""

    code = ErrorCode.INTERNAL

    def __init__(self) -> None:
        super().__init__("The change was made, but this part of the answer could not be read. Ask for it in a query.")


class CutShort(Refusal):
    """Nobody knows whether it was done."""

    code = ErrorCode.INTERNAL

    def __init__(self) -> None:
        super().__init__(
            "The server stopped before this had come to its end: it may have been done. Look before you repeat it."
        )


class Unavailable(Refusal):
    """Nothing was done. `retry_after` is the wait in seconds."""

    code = ErrorCode.UNAVAILABLE

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(f"{reason} Try again in {retry_after} s.")
        self.retry_after = retry_after

    @property
    def extensions(self) -> dict[str, Any]:
        return {**super().extensions, "retryAfter": self.retry_after}
