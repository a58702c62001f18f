"""What happens to accounts, a line each, for who watches over the server: `signin`, its `account` and `session`.

Ids and addresses alone: no e-mail, since people type passwords into that field, and nothing that opens anything.
"""

import logging
from collections.abc import Hashable
from datetime import datetime, timedelta

log = logging.getLogger("planner.audit")

LINES_A_MINUTE = 60
_A_MINUTE = timedelta(minutes=1)


def note(event: str, **facts: object) -> None:
    """A fact that is None is left out."""
    log.info(event, extra={"facts": {name: fact for name, fact in facts.items() if fact is not None}})


class Flood:
    """Of what anybody can cause as often as it likes, a line for the first of each sort in a minute, and no more than
    LINES_A_MINUTE of them. What was left out is told as a number, by the first of a later minute."""

    def __init__(self) -> None:
        self._told: set[Hashable] = set()
        self._left_out = 0
        self._begun: datetime | None = None

    def note(self, event: str, address: str | None, now: datetime) -> None:
        if self._begun is None or not self._begun <= now < self._begun + _A_MINUTE:  # a clock may be set back, too
            self._begin(now)
        if (event, address) in self._told or len(self._told) >= LINES_A_MINUTE:
            self._left_out += 1
            return
        self._told.add((event, address))
        note(event, address=address)

    def _begin(self, now: datetime) -> None:
        if self._left_out:
            note("left_out", tries=self._left_out)
        self._told.clear()
        self._left_out, self._begun = 0, now
