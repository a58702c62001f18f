"""Thousands of invented documents on our schema, each answered by the executor and by graphql-core (oracle.py).

`make differential N=100000` runs more of them, and others each time.
"""

import asyncio
import gc
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import OperationType
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

import models
from executor import Executor, Limits
from schema import schema
from settings import Settings
from tests.executor.invented_answers import World, invented_schema
from tests.executor.invented_documents import Values, documents
from tests.executor.oracle import Answer, Asked, assert_alike, is_valid
from tests.executor.town import NAMES, Town

NUMBER = int(os.environ.get("DIFFERENTIAL_DOCUMENTS", 0))
NO_CONDITION = "a condition that is no Boolean"
ENDLESS = Limits(tokens=100_000, depth=1_000, cost=2**40, page=100, once=frozenset())


# What is cancelled before its first step leaves what it was to await, in graphql-core as in ours.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


def as_many_as(number: int) -> hypothesis_settings:
    """The same each time; where more are asked for, others each time."""
    return hypothesis_settings(
        max_examples=max(number, NUMBER),
        derandomize=not NUMBER,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner
    gc.collect()  # while those warnings are ignored


def not_compiled() -> Counter[str]:
    """How many operations graphql-core had to run for the executor, by the reason."""
    metrics = {one.name: one for one in REGISTRY.collect()}
    return Counter(
        {
            one.labels["reason"]: int(one.value)
            for one in metrics["planner_documents_not_compiled"].samples
            if one.name.endswith("_total")
        }
    )


def may_fall_back(asked: Asked) -> set[str]:
    """The one reason that our schema's documents give: null for a condition, which is for graphql-core to refuse."""
    return {NO_CONDITION} if None in asked.variables.values() else set()


@hypothesis_settings(parent=as_many_as(100), max_examples=100)
@given(asked=documents(schema._schema, list(OperationType)))
def test_the_invented_documents_are_valid(asked: Asked) -> None:
    assert is_valid(schema._schema, asked)


class Unvalidated(Executor):
    """Validation takes longer than all the rest, and the test above says what it would."""

    def _validate(self, document: Any) -> list[Any]:
        return []


INVENTED = invented_schema(schema.as_str())


@as_many_as(2_500)
@given(asked=documents(INVENTED, list(OperationType)), seed=st.integers(0, 2**32), faults=st.sampled_from([0, 8, 30]))
def test_whatever_resolvers_do_it_is_answered_as_by_graphql_core(
    loop: asyncio.Runner, asked: Asked, seed: int, faults: int
) -> None:
    before, executor = not_compiled(), Unvalidated(INVENTED, ENDLESS)
    found, expected = loop.run(_alike(executor, asked, World(seed, faults, waits=False)))
    assert found.errors == expected.errors  # in their order: there is but one
    loop.run(_alike(executor, asked.turned(), World(seed, faults, waits=True)))
    assert (not_compiled() - before).keys() <= may_fall_back(asked)


async def _alike(executor: Executor, asked: Asked, world: World) -> tuple[Answer, Answer]:
    answers = await assert_alike(INVENTED, executor, asked, lambda: world)
    for _ in range(5):
        await asyncio.sleep(0)  # what nobody waits for any more comes to its end
    return answers


@pytest.fixture(scope="module")
def town(
    loop: asyncio.Runner, migrated: dict[str, Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Town, Values]]:
    file = tmp_path_factory.mktemp("town") / "planner.sqlite3"
    shutil.copy(migrated["sqlite"].database_url.removeprefix("sqlite://"), file)
    settings = migrated["sqlite"].model_copy(update={"database_url": f"sqlite://{file}"})
    loop.run(models.open_database(settings))
    try:
        made = Town(settings, ENDLESS)
        yield made, loop.run(made.fill())
    finally:
        loop.run(models.close_database())  # its thread would keep the process from its end


@as_many_as(500)
@given(data=st.data(), who=st.sampled_from([None, *range(len(NAMES))]))
def test_queries_are_answered_as_by_graphql_core(
    loop: asyncio.Runner, town: tuple[Town, Values], data: st.DataObject, who: int | None
) -> None:
    made, values = town
    asked = data.draw(documents(schema._schema, values=values))
    before = not_compiled()
    loop.run(assert_alike(schema._schema, made.executor, asked, lambda: made.context(who)))
    assert (not_compiled() - before).keys() <= may_fall_back(asked)
