from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.redis import RedisServer


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    server.stop()
