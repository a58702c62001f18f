"""The row of a sign-in. Which token opens it, and for how long, is for `auth` to say."""

from typing import Any
from uuid import UUID

from tortoise import Model, fields
from uuid6 import uuid7

from models.reads import Condition, select
from models.user import User


class Session(Model):
    """One sign-in, on one device."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name=False, db_index=True)
    user_id: UUID
    refresh_hash = fields.CharField(max_length=64, unique=True)  # SHA-256, in hex: the token itself is never stored
    refresh_expires_at = fields.DatetimeField()
    created_at = fields.DatetimeField()

    class Meta:
        table = "sessions"

    @classmethod
    async def viewer(cls, session_id: str, user_id: str) -> dict[str, Any] | None:
        """The account behind a session, in one indexed read; None when the session or the account is gone."""
        rows = await select(
            cls,
            ["user.id", "user.email", "user.username", "user.created_at"],
            Condition("t.id = ? AND t.user_id = ?", (UUID(session_id), UUID(user_id))),
        )
        return rows[0]["user"] if rows else None
