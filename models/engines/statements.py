"""Each statement, told to whoever follows what is asked of the database: to nobody, unless traces are on."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Engine = TypeVar("Engine", bound=type)
Ask = Callable[..., Coroutine[Any, Any, Any]]

# By which an engine, and a transaction of it, is asked.
_WAYS = ("execute_insert", "execute_many", "execute_query", "execute_query_dict", "fetch")


class Follower(Protocol):
    def __call__(self, system: str, sql: str, answer: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """The answer, to be awaited in its place. `sql` has placeholders where its values are."""


_follower: Follower | None = None


def follow(follower: Follower | None) -> None:
    """Has it told of every statement of this process; None ends that."""
    global _follower
    _follower = follower


def told(system: str, sql: str, answer: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    return answer if _follower is None else _follower(system, sql, answer)


def followed(system: str) -> Callable[[Engine], Engine]:
    """Has all told that an engine is asked. A transaction's steps are told where they are taken."""

    def decorate(engine: Engine) -> Engine:
        for way in _WAYS:
            setattr(engine, way, _followed(system, getattr(engine, way)))
        return engine

    return decorate


def _followed(system: str, ask: Ask) -> Ask:
    @wraps(ask)
    def asked(self: object, query: str, *values: object) -> Coroutine[Any, Any, Any]:
        return told(system, query, ask(self, query, *values))

    return asked
