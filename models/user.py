"""The row of an account. Who may become one, and with which password, is for `auth` to say."""

from collections.abc import Sequence
from secrets import token_urlsafe
from uuid import UUID

from tortoise import Model, fields
from uuid6 import uuid7

from models.reads import Condition, select
from models.rows import Row
from models.text import Unfit, fold, refuse_unstorable

EMAIL_LONGEST = 254  # RFC 5321 §4.5.3.1.3, without the angle brackets; of its key, too
USERNAME_LONGEST = 50
USERNAME_KEY_LONGEST = 200


def new_calendar_key() -> str:
    return token_urlsafe(32)


class User(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    email = fields.CharField(max_length=EMAIL_LONGEST)
    # Folded: what two spellings of one e-mail share. EMAIL_LONGEST would do, but to narrow it would take a migration,
    # which copies the table on SQLite, and nobody would notice.
    email_key = fields.CharField(max_length=800, unique=True)
    username = fields.CharField(max_length=USERNAME_LONGEST)
    username_key = fields.CharField(max_length=USERNAME_KEY_LONGEST, unique=True)
    password_hash = fields.CharField(max_length=255)
    created_at = fields.DatetimeField()
    calendar_key = fields.CharField(max_length=43, default=new_calendar_key, db_default="")  # opens the private feed

    class Meta:
        table = "users"

    @classmethod
    async def read(cls, username: str, paths: Sequence[str]) -> Row | None:
        """The user's fields, by a username in any case; None where nobody has it."""
        if len(username) > USERNAME_KEY_LONGEST:  # before it is folded: a megabyte of accents takes minutes
            return None
        try:
            refuse_unstorable(username)
        except Unfit:
            return None
        rows = await select(cls, paths, Condition("t.username_key = ?", (fold(username.strip()),)))
        return rows[0] if rows else None

    @classmethod
    async def calendar_key_of(cls, user_id: str) -> str:
        """What opens the private feed of the user, who exists."""
        (row,) = await select(cls, ["calendar_key"], Condition("t.id = ?", (UUID(user_id),)), fresh=True)
        return str(row["calendar_key"])

    @classmethod
    async def rotate_calendar_key(cls, user_id: str) -> None:
        """Ends every secret calendar address of the user's."""
        await cls.filter(id=UUID(user_id)).update(calendar_key=new_calendar_key())

    def __repr__(self) -> str:
        return f"<User {self.id}>"  # a repr ends in logs: no e-mail, no hash
