"""The tables of the tutorial's two rivals, as tutorials of Tortoise write them, with a many-to-many relation for tags;
and what both do with a token."""

from collections.abc import Iterable
from datetime import datetime
from types import ModuleType

from jose import jwt
from tortoise import Model, Tortoise, fields
from uuid6 import uuid7

from bench.rivals import POOL_SIZE, SECRET

MODELS: dict[str, Iterable[str | ModuleType]] = {"models": ["bench.rivals.tables"]}
_FROM_OURS = (
    "INSERT INTO plain_users SELECT id, username FROM users",
    "INSERT INTO plain_tags (name) SELECT DISTINCT {tag} FROM events e{each_tag}",
    "INSERT INTO plain_events ({columns}) SELECT {columns} FROM events",
    "INSERT INTO plain_events_tags (event_id, tag_id) SELECT e.id, t.id FROM events e{each_tag}"
    " JOIN plain_tags t ON t.name = {tag}",
)
_COLUMNS = (
    "id, creator_id, title, image, description, location, starts_at, ends_at, time_zone, status, capacity,"
    " confirmed_count, waitlist_count, version, created_at, updated_at"
)


class User(Model):
    id = fields.UUIDField(primary_key=True)
    username = fields.CharField(max_length=50)

    class Meta:
        table = "plain_users"


class Tag(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=50, unique=True)

    class Meta:
        table = "plain_tags"


class Event(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    creator: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("models.User", related_name="events")
    tags: fields.ManyToManyRelation[Tag] = fields.ManyToManyField(
        "models.Tag", through="plain_events_tags", forward_key="tag_id", backward_key="event_id", related_name="events"
    )
    title = fields.CharField(max_length=200)
    image = fields.CharField(max_length=2_048, null=True)
    description = fields.TextField()
    location = fields.CharField(max_length=200)
    starts_at = fields.DatetimeField(null=True)
    ends_at = fields.DatetimeField(null=True)
    time_zone = fields.CharField(max_length=64, null=True)
    status = fields.CharField(max_length=9, default="SCHEDULED")
    capacity = fields.IntField(null=True)
    confirmed_count = fields.IntField(default=0)
    waitlist_count = fields.IntField(default=0)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(auto_now_add=True, db_index=True)  # else sorting would be all that is measured
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "plain_events"


def tortoise_url(database_url: str) -> str:
    if database_url.startswith("sqlite"):
        return database_url
    return f"{database_url.replace('postgresql://', 'asyncpg://')}?maxsize={POOL_SIZE}"


async def fill(database_url: str) -> None:
    """Makes the tables and fills them from the planner's."""
    on_sqlite = database_url.startswith("sqlite")
    each_tag = ", json_each(e.tags) AS given" if on_sqlite else " CROSS JOIN unnest(e.tags) AS given"
    tag = "given.value" if on_sqlite else "given"
    await Tortoise.init(db_url=tortoise_url(database_url), modules=MODELS, use_tz=True)
    try:
        await Tortoise.generate_schemas()
        for statement in _FROM_OURS:
            sql = statement.format(each_tag=each_tag, tag=tag, columns=_COLUMNS)
            await Tortoise.get_connection("default").execute_script(sql)
    finally:
        await Tortoise.close_connections()


async def create_event(
    user: User,
    *,
    title: str,
    description: str,
    tags: list[str],
    location: str,
    starts_at: datetime | None,
    time_zone: str | None,
) -> Event:
    event = await Event.create(
        creator=user,
        title=title,
        description=description,
        location=location,
        starts_at=starts_at,
        time_zone=time_zone,
    )
    for name in tags:
        tag, _ = await Tag.get_or_create(name=name)
        await event.tags.add(tag)
    await event.fetch_related("tags", "creator")
    return event


async def user_of(authorization: str | None) -> User:
    """Whose token it is. Raises JWTError, and DoesNotExist where the account is gone."""
    token = (authorization or "").removeprefix("Bearer ")
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="planner")
    return await User.get(id=claims["sub"])
