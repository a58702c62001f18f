from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from tortoise import Tortoise
from tortoise.transactions import in_transaction

from models import User
from models.engines.statements import follow
from settings import Settings

T = TypeVar("T")


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What is asked of the database from now on."""
    heard: list[str] = []

    def follower(system: str, sql: str, answer: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        heard.append(f"{system}: {sql.split('(')[0].strip()}")
        return answer

    follow(follower)
    yield heard
    follow(None)


async def test_every_way_to_ask_is_told(database: Settings, heard: list[str]) -> None:
    connection: Any = Tortoise.get_connection("default")
    value = "?" if "sqlite" in database.database_url else "$1"
    remove = f"DELETE FROM idempotency_keys WHERE key = {value}"  # noqa: S608 - a placeholder

    await connection.fetch("SELECT 1", [])
    await connection.execute_query("SELECT 2")
    await connection.execute_query_dict("SELECT 3")
    await connection.execute_many(remove, [["a"], ["b"]])
    await connection.execute_insert(remove, ["c"])
    async with in_transaction() as transaction:
        await transaction.execute_query("SELECT 4")
        await transaction.execute_query_dict("SELECT 5")
        await transaction.execute_many(remove, [["d"]])
        await User.all().count()

    system = "sqlite" if "sqlite" in database.database_url else "postgresql"
    expected = ["SELECT 1", "SELECT 2", "SELECT 3", remove, remove, "BEGIN", "SELECT 4", "SELECT 5", remove]
    assert heard == [f"{system}: {sql}" for sql in [*expected, "SELECT COUNT", "COMMIT"]]


async def test_a_transaction_that_fails_is_told_with_its_rollback(database: Settings, heard: list[str]) -> None:
    async def fail() -> None:
        async with in_transaction() as transaction:
            await transaction.execute_query("SELECT 1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    assert [told.partition(": ")[2] for told in heard] == ["BEGIN", "SELECT 1", "ROLLBACK"]


async def test_nobody_is_told_any_more_once_it_is_over(database: Settings, heard: list[str]) -> None:
    follow(None)
    await User.all().count()

    assert heard == []
