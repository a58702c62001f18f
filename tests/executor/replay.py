"""What a test asked of an executor is asked again at the test's end, of the executor and of graphql-core.

At the end, and of both: so nothing that the test counts, times or breaks on purpose is disturbed, and both look at the
same rows. No mutation is made a second time: mutations are run over invented answers.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Any
from zlib import crc32

import orjson
import pytest
from graphql import OperationType

from executor import Executor, Result
from executor.executor import ANYTHING
from schema import LIMITS, schema
from schema.context import Context
from tests.executor.invented_answers import World, invented_schema
from tests.executor.oracle import Asked, assert_alike, kind_of

_heard_before: set[tuple[str, bytes, str | None]] = set()  # in this process: each is replayed once
_invented = invented_schema(schema.as_str())
_inventing = Executor(_invented, LIMITS)


class Replay:
    def __init__(self) -> None:
        self._heard: list[tuple[Executor, Asked, Context]] = []

    def listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on, to every executor."""
        execute, hear = Executor.execute, self._hear

        async def execute_and_tell(
            executor: Executor,
            text: str,
            variables: Mapping[str, Any] | None = None,
            operation_name: str | None = None,
            *,
            context: Any = None,
            allowed: Collection[OperationType] = ANYTHING,
        ) -> Result:
            result = await execute(executor, text, variables, operation_name, context=context, allowed=allowed)
            if result.was_executed:
                hear(executor, Asked(text, variables or {}, operation_name), context)
            return result

        monkeypatch.setattr(Executor, "execute", execute_and_tell)

    def _hear(self, executor: Executor, asked: Asked, context: Context) -> None:
        known = asked.text, orjson.dumps(asked.variables), asked.operation_name
        if known not in _heard_before:
            _heard_before.add(known)
            self._heard.append((executor, asked, context))

    async def compare(self) -> None:
        """While the database is still open."""
        for executor, asked, context in self._heard:
            if kind_of(asked) is OperationType.QUERY:
                # Twice, where they differ: the first to ask may be what changes a session's lastUsedAt.
                with suppress(AssertionError):
                    await assert_alike(schema._schema, executor, asked, partial(_again, context))
                    continue
                await assert_alike(schema._schema, executor, asked, partial(_again, context))
            else:
                # Where nothing waits nothing is cancelled: Python would warn of that, in whichever test comes next.
                new_world = partial(World, crc32(asked.text.encode()), faults=20, waits=False)
                await assert_alike(_invented, _inventing, asked, new_world)


def _again(context: Context) -> Context:
    """Another, which knows nothing yet, of the same caller at the same time."""
    fresh = copy(context)
    fresh.renew()
    fresh.now = context.now
    return fresh
