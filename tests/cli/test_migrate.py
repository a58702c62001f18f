from collections.abc import Callable

from settings import ROOT
from tests.cli.conftest import Ran


async def test_it_says_what_it_did_and_does_it_once(planner: Callable[..., Ran], empty_database: str) -> None:
    numbered = sorted(file.stem for file in (ROOT / "models" / "migrations").glob("[0-9]*.py"))

    first = planner("migrate", DATABASE_URL=empty_database)
    second = planner("migrate", DATABASE_URL=empty_database)

    assert (first.returncode, first.stdout, first.stderr) == (0, f"Migrated: {', '.join(numbered)}.\n", "")
    assert (second.returncode, second.stdout, second.stderr) == (0, "The database is up to date.\n", "")
