"""Which core serves, and which do the rest, so that a server's figure is what one core can do.

Where the system pins no processes, or has one core, nothing is pinned, and the report says so.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg


class Cores:
    """The server's core, and all others, on which the load and PostgreSQL run. Both are empty where nothing is
    pinned."""

    def __init__(self, *, pin: bool = True) -> None:
        available = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
        pinned = pin and len(available) > 1
        self.server = set(available[-1:]) if pinned else set()
        self.others = set(available[:-1]) if pinned else set()
        self.postgresql_is_pinned = False

    def said(self, *, with_postgresql: bool) -> str:
        if not self.server:
            return "no process is pinned to a core"
        others = "the load"
        if with_postgresql:
            others = "PostgreSQL and the load" if self.postgresql_is_pinned else "the load (PostgreSQL is not pinned)"
        return f"the server on {_numbers(self.server)}, {others} on {_numbers(self.others)}"

    def pin_load(self) -> None:
        _pin(0, self.others)

    def pin_server(self, pid: int) -> None:
        _pin(pid, self.server)

    async def pin_postgresql(self, database_url: str) -> None:
        """Moves the processes behind the database's connections. Needs the right to, and PostgreSQL on this machine."""
        connection = await asyncpg.connect(database_url)
        try:
            rows = await connection.fetch(
                "SELECT pid, datname FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()
        pinned = [self._pin_backend(row["pid"], row["datname"]) for row in rows]
        self.postgresql_is_pinned = bool(pinned) and all(pinned)

    def _pin_backend(self, pid: int, database: str) -> bool:
        with suppress(OSError):
            # The number alone could be another process's, where PostgreSQL runs in a container or elsewhere.
            if self.others and database.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                _pin(pid, self.others)
                return True
        return False


def _pin(pid: int, cores: set[int]) -> None:
    if cores and sys.platform == "linux":
        os.sched_setaffinity(pid, cores)


def _numbers(cores: set[int]) -> str:
    return ", ".join(map(str, sorted(cores)))
