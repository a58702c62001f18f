from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from settings import Settings
from tests.faults.servers import Watched

MakeWatched = Callable[..., Watched]


@pytest.fixture
async def make_watched(settings: Settings, tmp_path: Path) -> AsyncIterator[MakeWatched]:
    """Servers on the test's database; its arguments are their environment."""
    made: list[Watched] = []

    def make(**environment: str) -> Watched:
        made.append(Watched(settings, tmp_path, **environment))
        return made[-1]

    yield make
    for server in made:
        server.kill()
