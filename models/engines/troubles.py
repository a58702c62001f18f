"""What keeps the database from its work until somebody mends it. Each is counted, and told in the log once in a while:
a refusal alone would reach no operator, and a line for each would bury all others."""

import logging
import math
import time
from enum import StrEnum

from prometheus_client import Counter

from errors import Unavailable

EVERY_SECONDS = 60.0

log = logging.getLogger("planner.database")
TROUBLES = Counter("planner_database_troubles", "What the database could not do, by why.", ["why"])


class Why(StrEnum):
    UNREACHABLE = "unreachable"  # or it lets nobody in
    DISK = "disk"  # full, or broken
    READ_ONLY = "read_only"
    RESOURCES = "resources"  # memory, connections


for why in Why:
    TROUBLES.labels(why)  # told as 0 before the first: Prometheus sees no increase in what was not there

_TOLD = {
    Why.UNREACHABLE: ("cannot be reached", 1),
    Why.DISK: ("cannot be written to", 10),
    Why.READ_ONLY: ("cannot be written to", 10),
    Why.RESOURCES: ("is short of memory or connections", 10),
}


class Troubles:
    """Those of one client of a database, at this address."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._told_at: dict[Why, float] = {}

    def refusal(self, why: Why, cause: object) -> Unavailable:
        """What is told of it. Nothing of what was asked for has been done."""
        self.note(why, cause)
        what, retry_after = _TOLD[why]
        return Unavailable(f"The database {what}.", retry_after)

    def note(self, why: Why, cause: object) -> None:
        TROUBLES.labels(why).inc()
        now = time.monotonic()
        if now - self._told_at.get(why, -math.inf) >= EVERY_SECONDS:
            self._told_at[why] = now
            said = " ".join(str(cause).split()) or type(cause).__name__
            log.error("the database %s %s: %s", self._place, _TOLD[why][0], said)
