"""What overlaps: which of a user's events are at the same time as others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models.event import Event
from models.reads import Condition, dialect, select
from models.rows import Row

MOST = 500  # of a user's events are looked at, the soonest: who has more at once has other troubles


@dataclass(frozen=True)
class Span:
    """An event's time. Without an end it lasts no time, without a start it has none."""

    event_id: str
    starts_at: datetime | None
    ends_at: datetime | None

    def overlaps(self, other: "Span") -> bool:
        """Two that follow on each other do not overlap; two that start together do, however short they are."""
        if self.starts_at is None or other.starts_at is None:
            return False
        ends, other_ends = self.ends_at or self.starts_at, other.ends_at or other.starts_at
        return self.starts_at == other.starts_at or (self.starts_at < other_ends and other.starts_at < ends)


async def clashes(spans: Sequence[Span], user_id: str, paths: Sequence[str]) -> list[list[Row]]:
    """For each event, those scheduled others that the user organises or holds a seat at and that overlap it, soonest
    first: in one statement for all of them."""
    starts = [span.starts_at for span in spans if span.starts_at]
    if not starts:
        return [[] for _ in spans]
    latest = max(span.ends_at or span.starts_at for span in spans if span.starts_at)
    user = UUID(user_id)
    # Gathered first, each part by an index of its own: as an OR over the events, the whole table is passed over.
    ids = (
        "SELECT e.id FROM events e WHERE e.creator_id = ?"
        " UNION SELECT r.event_id FROM rsvps r WHERE r.user_id = ? AND r.status = 'CONFIRMED'"
    )
    gathered = "t.id = ANY(ARRAY({}))" if dialect() == "postgres" else "t.id IN ({})"
    theirs = Condition(f"t.status = 'SCHEDULED' AND {gathered.format(ids)}", (user, user))
    near = Condition("t.starts_key <= ? AND COALESCE(t.ends_at, t.starts_at) >= ?", (latest, min(starts)))
    wanted = tuple(dict.fromkeys([*paths, "id", "starts_at", "ends_at"]))
    rows = await select(Event, wanted, theirs & near, (("starts_key", "ASC"), ("id", "ASC")), MOST)
    found = [(Span(row["id"], row["starts_at"], row["ends_at"]), row) for row in rows]
    return [[row for other, row in found if other.event_id != span.event_id and span.overlaps(other)] for span in spans]
