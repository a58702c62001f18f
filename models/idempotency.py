"""The first result of a key, kept for 24 hours: a client that repeats a request makes nothing twice."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from tortoise import Model, fields
from tortoise.indexes import Index

from errors import KeyReused, ValidationFailed
from models.reads import Condition, delete_found, query
from models.text import Unfit, fit
from models.user import User

LIFE = timedelta(hours=24)
LONGEST = 255
_CLEARED_AT_ONCE = 100  # each new key clears up to as many old ones, so that the table never grows


class IdempotencyKey(Model):
    id = fields.BigIntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name=False)
    key = fields.CharField(max_length=LONGEST)
    input_hash = fields.CharField(max_length=64)  # SHA-256 of the input, in hex
    event_id = fields.UUIDField()  # no foreign key: a deleted event's key still says that it was made
    created_at = fields.DatetimeField()

    class Meta:
        table = "idempotency_keys"
        unique_together = (("user", "key"),)
        indexes = (Index(fields=("created_at",), name="idempotency_keys_oldest"),)

    @classmethod
    async def claim(cls, key: str, said: Mapping[str, Any], *, user_id: UUID, event_id: UUID, now: datetime) -> UUID:
        """The event that this key stands for: `event_id` where it is new, else the first one made with it.

        Part of the transaction that makes the event: whoever sends the key at the same time waits here until that has
        ended. Raises ValidationFailed, and KeyReused where the first input was another one.
        """
        try:
            key = fit(key, shortest=1, longest=LONGEST)
        except Unfit as reason:
            raise ValidationFailed({"idempotencyKey": str(reason)}) from None
        input_hash = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
        claimed = await query(
            "INSERT INTO idempotency_keys (user_id, key, input_hash, event_id, created_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (user_id, key) DO UPDATE SET input_hash = excluded.input_hash, event_id = excluded.event_id,"
            " created_at = excluded.created_at WHERE idempotency_keys.created_at <= ? RETURNING id",
            [user_id, key, input_hash, event_id, now, now - LIFE],
        )
        if claimed:
            await cls._clear(now)
            return event_id
        first = await cls.get(user_id=user_id, key=key)
        if first.input_hash != input_hash:
            raise KeyReused
        return first.event_id

    @staticmethod
    async def _clear(now: datetime) -> None:
        oldest = Condition("WHERE created_at <= ? ORDER BY created_at LIMIT ?", (now - LIFE, _CLEARED_AT_ONCE))
        await delete_found("idempotency_keys", "id", oldest)
