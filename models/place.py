"""The places from which an account was signed in to. What being known there is worth is for `auth` to say."""

from datetime import datetime, timedelta
from uuid import UUID

from tortoise import Model, fields

from models.reads import Condition, delete_found, query
from models.user import User

KEPT = timedelta(days=30)
MOST = 20  # an account; then the oldest goes


class KnownPlace(Model):
    """An account and an address, in one hash that nobody can make without the key."""

    place_hash = fields.CharField(primary_key=True, max_length=32)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name=False, db_index=True)
    user_id: UUID
    seen_at = fields.DatetimeField()

    class Meta:
        table = "known_places"

    @classmethod
    async def last_seen(cls, place_hash: str, now: datetime) -> datetime | None:
        """When somebody last signed in there, where it is known."""
        place = await cls.get_or_none(place_hash=place_hash, seen_at__gt=now - KEPT)
        return place.seen_at if place else None

    @classmethod
    async def remember(cls, place_hash: str, user_id: UUID, now: datetime) -> None:
        """Part of the caller's transaction, in which the account's row is held."""
        await query(_REMEMBER, [place_hash, user_id, now])
        oldest = "WHERE user_id = ? ORDER BY seen_at DESC, place_hash LIMIT 1000 OFFSET ?"
        await delete_found("known_places", "place_hash", Condition(oldest, (user_id, MOST)))


_REMEMBER = (
    "INSERT INTO known_places (place_hash, user_id, seen_at) VALUES (?, ?, ?)"
    " ON CONFLICT (place_hash) DO UPDATE SET user_id = excluded.user_id, seen_at = excluded.seen_at"
)
