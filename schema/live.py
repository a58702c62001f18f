"""What the subscriptions of a process share: word of each change, and one read for all who want the same of it."""

from collections.abc import Callable

from strawberry.dataloader import DataLoader

import models
from models.changes import Change, RsvpChanged
from models.reads import among, select
from replicas import Replicas, Subscription

_EVENTS = "events"


def _places_of(user_id: str) -> str:
    return f"places of {user_id}"


class Live:
    def __init__(self, replicas: Replicas[Change]) -> None:
        self._replicas = replicas
        # Not cached: of a thousand subscribers, woken by one change, each asks at the same moment.
        self._usernames: DataLoader[str, str | None] = DataLoader(_read_usernames, max_batch_size=10_000, cache=False)

    def tell(self, change: Change) -> None:
        """Tells the subscribers, here and in the other processes."""
        topic = _places_of(change.user_id) if isinstance(change, RsvpChanged) else _EVENTS
        self._replicas.publish(topic, change)

    def events(self, wants: Callable[[Change], bool], *, attended_by: str | None = None) -> Subscription[Change]:
        """Changes of events, and with a user those of the user's places, in the order in which they were made."""
        topics = [_EVENTS, *([_places_of(attended_by)] if attended_by else [])]
        return self._replicas.subscribe(*topics, wants=wants)

    def places_of(self, user_id: str) -> Subscription[Change]:
        return self._replicas.subscribe(_places_of(user_id))

    async def username(self, user_id: str) -> str | None:
        return await self._usernames.load(user_id)


async def _read_usernames(user_ids: list[str]) -> list[str | None]:
    rows = await select(models.User, ["id", "username"], among("t.id", set(user_ids)))
    names = {row["id"]: row["username"] for row in rows}
    return [names.get(user_id) for user_id in user_ids]
