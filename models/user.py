"""The row of an account. Who may become one, and with which password, is for `auth` to say."""

from collections.abc import Sequence

from tortoise import Model, fields
from uuid6 import uuid7

from models.reads import Condition, Row, select
from models.text import Unfit, fold, refuse_unstorable

EMAIL_LONGEST = 254  # RFC 5321 §4.5.3.1.3, without the angle brackets; of its key, too
USERNAME_LONGEST = 50
USERNAME_KEY_LONGEST = 200


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

    def __repr__(self) -> str:
        return f"<User {self.id}>"  # a repr ends in logs: no e-mail, no hash
