"""Which changes of events a subscriber is told of: those for which a filter holds before or after."""

from uuid import UUID

from models.changes import Change, EventChanged, RsvpChanged
from models.filters import EventFilter, Mine
from models.reads import Condition, select
from models.rsvp import Rsvp, RsvpStatus


class Watch:
    """Told of every change in its order: first `may_want`, at once; then `wants`, when the subscriber gets to it.

    A filter by what the viewer attends is told of the viewer's places too, and keeps in mind at which events there is a
    confirmed one: by the time a deletion is told, no row says so any more.
    """

    def __init__(self, filter: EventFilter) -> None:
        self._filter = filter
        self._attended: set[str] = set()
        self._attended_before: dict[str, bool] = {}  # by event, from the change of the viewer's place to the event's

    @property
    def viewer_id(self) -> str | None:
        """Whose places are to be told of as well; None where they do not matter."""
        return self._filter.viewer_id if self._filter.mine is Mine.ATTENDING else None

    @property
    def is_private(self) -> bool:
        """Whether what is told depends on who is told."""
        return self._filter.mine is not None

    async def open(self) -> None:
        """Finds out what the viewer attends, once changes are being heard: what changes meanwhile counts as well."""
        if self.viewer_id:
            held = Condition("t.user_id = ? AND t.status = ?", (UUID(self.viewer_id), RsvpStatus.CONFIRMED.value))
            self._attended = {row["event"]["id"] for row in await select(Rsvp, ["event.id"], held)}

    def may_want(self, change: Change) -> bool:
        """False where `wants` will not want it, whatever the viewer attends."""
        return isinstance(change, RsvpChanged) or self._holds(change, attended_before=True, attended_after=True)

    def wants(self, change: Change) -> bool:
        if not self.viewer_id:
            return True  # may_want has decided
        event_id = change.event_id
        if isinstance(change, RsvpChanged):
            self._attended_before.setdefault(event_id, event_id in self._attended)
            if change.status == RsvpStatus.CONFIRMED:
                self._attended.add(event_id)
            else:
                self._attended.discard(event_id)
            return False
        after = event_id in self._attended
        before = self._attended_before.pop(event_id, after)
        if change.after is None:
            self._attended.discard(event_id)
        return self._holds(change, attended_before=before, attended_after=after)

    def _holds(self, change: EventChanged, *, attended_before: bool, attended_after: bool) -> bool:
        sides = ((change.after, attended_after), (change.before, attended_before))
        return any(row is not None and self._filter.holds(row, attends=attends) for row, attends in sides)
