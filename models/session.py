"""The rows of a sign-in. Which token opens it, and for how long, is for `auth` to say."""

from datetime import UTC, datetime
from uuid import UUID

from tortoise import Model, fields
from tortoise.indexes import Index
from uuid6 import uuid7

from models.reads import Condition, delete_found, dialect, query, select, update
from models.rows import Row, Rows
from models.user import User

USER_AGENT_LONGEST = 200
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_CLEARED_AT_ONCE = 100  # each new session clears up to as many that are over, so that the table does not grow


class Session(Model):
    """One sign-in, on one device: a family of refresh tokens, each traded for the next."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name=False, db_index=True)
    user_id: UUID
    # SHA-256, in hex, of the half that all tokens of the family share: by it each is known, however old.
    refresh_hash = fields.CharField(max_length=64, unique=True)
    refresh_expires_at = fields.DatetimeField()
    generation = fields.IntField(default=1, db_default=1)  # of the tokens that are good now
    rotated_at = fields.DatetimeField(db_default=LONG_AGO)
    last_used_at = fields.DatetimeField(db_default=LONG_AGO)
    created_at = fields.DatetimeField()
    user_agent = fields.CharField(max_length=USER_AGENT_LONGEST, null=True)

    class Meta:
        table = "sessions"
        indexes = (Index(fields=("refresh_expires_at",), name="sessions_oldest"),)

    @classmethod
    async def viewer(cls, session_id: str, user_id: str, now: datetime) -> Row | None:
        """The session's `last_used_at` and its account's row, in one indexed read; None when one of them is gone, or
        the session over."""
        rows = await select(
            cls,
            ["id", "last_used_at", "user.id", "user.email", "user.username", "user.created_at"],
            Condition(
                "t.id = ? AND t.user_id = ? AND t.refresh_expires_at > ?", (UUID(session_id), UUID(user_id), now)
            ),
            fresh=True,
        )
        return rows[0] if rows else None

    @classmethod
    async def note_use(cls, session_id: str, now: datetime, *, unless_since: datetime) -> None:
        """Raises what a write outside of a transaction raises."""
        # A row that is locked is passed over: it is being used at this moment, or ends. SQLite locks no rows.
        skip = " FOR UPDATE SKIP LOCKED" if dialect() == "postgres" else ""
        free = f"SELECT id FROM sessions WHERE id = ? AND last_used_at <= ?{skip}"  # noqa: S608 - written in code
        await query(
            f"UPDATE sessions SET last_used_at = ? WHERE id IN ({free})",  # noqa: S608
            (now, UUID(session_id), unless_since),
            fresh=True,
        )

    @classmethod
    async def of_user(cls, user_id: str, now: datetime) -> Rows:
        """Those that are not over, newest first."""
        return await select(
            cls,
            ["id", "created_at", "last_used_at", "user_agent"],
            Condition("t.user_id = ? AND t.refresh_expires_at > ?", (UUID(user_id), now)),
            (("created_at", "DESC"), ("id", "DESC")),
            fresh=True,
        )

    @classmethod
    async def turn(cls, session_id: UUID, generation: int, *, by: int, **times: datetime) -> bool:
        """Adds to the generation and sets the times, in one statement; False where the generation is another by now."""
        columns = "".join(f", {name} = ?" for name in times)
        changed = await update(
            cls,
            Condition(f"generation = generation + {by}{columns}", tuple(times.values())),
            Condition("t.id = ? AND t.generation = ?", (session_id, generation)),
            ["id"],
        )
        return bool(changed)

    @classmethod
    async def end(cls, where: str, *values: UUID) -> int:
        """How many of those that the condition, written in code, holds for there were to end."""
        # Tortoise's delete() counts on SQLite the tokens that go with them, too.
        return len(await query(f"DELETE FROM sessions WHERE {where} RETURNING id", values))  # noqa: S608

    @classmethod
    async def keep_beside(cls, session: "Session", most: int) -> None:
        """Of the account's others, those that were used last. Part of the caller's transaction, in which the account's
        row is held."""
        # The inner SELECT locks nothing, so that a session whose row is locked is counted all the same. It is not
        # ended: it is being used at this moment, or deleted by another.
        others = "SELECT id FROM sessions WHERE user_id = ? AND id <> ?"
        rest = f"{others} ORDER BY last_used_at DESC, id DESC LIMIT 1000 OFFSET ?"
        await delete_found("sessions", "id", Condition(f"WHERE id IN ({rest})", (session.user_id, session.id, most)))

    @classmethod
    async def clear(cls, now: datetime) -> None:
        """Removes some of those that are over."""
        oldest = "WHERE refresh_expires_at <= ? ORDER BY refresh_expires_at LIMIT ?"
        await delete_found("sessions", "id", Condition(oldest, (now, _CLEARED_AT_ONCE)))


class RefreshToken(Model):
    """A token of the session's present generation, or of the one before. Older ones are known by their family."""

    # Of the generation before there is one: the token that was traded for those of the present one.

    id = fields.BigIntField(primary_key=True)
    session: fields.ForeignKeyRelation[Session] = fields.ForeignKeyField("models.Session", related_name=False)
    session_id: UUID
    token_hash = fields.CharField(max_length=64)  # SHA-256 of the token's other half, in hex
    generation = fields.IntField()

    class Meta:
        table = "refresh_tokens"
        unique_together = (("session", "token_hash"),)

    @classmethod
    async def known(cls, refresh_hash: str, token_hash: str) -> tuple[Session, int | None] | None:
        """The session of the family, and the token's generation in it: None for one that is not kept any more, or was
        never given. Nothing where there is no such family."""
        session = await Session.get_or_none(refresh_hash=refresh_hash)
        if session is None:
            return None
        token = await cls.get_or_none(session_id=session.id, token_hash=token_hash)
        return session, token.generation if token else None

    @classmethod
    async def give(cls, session_id: UUID, token_hash: str, generation: int) -> None:
        await cls.create(session_id=session_id, token_hash=token_hash, generation=generation)

    @classmethod
    async def forget_but(cls, session_id: UUID, token_hash: str) -> None:
        """Of the session's tokens keeps this one, which has turned it: not its siblings, not its parent."""
        await cls.filter(session_id=session_id).exclude(token_hash=token_hash).delete()


def kept_user_agent(header: str | None) -> str | None:
    """What may be shown to the account's owner."""
    kept = "".join(character for character in header or "" if character.isprintable())[:USER_AGENT_LONGEST]
    return kept or None
