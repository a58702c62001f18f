from tortoise import migrations
from tortoise.migrations import operations as ops
import datetime
from tortoise.fields.base import OnDelete
from uuid6 import uuid7
from tortoise import fields
from tortoise.indexes import Index

from models.text import fold
from models.user import new_calendar_key

BATCH = 1_000


async def sort_titles_by_character(apps, schema_editor):
    # As SQLite does: the order of a list, and so its cursors, must not depend on the database's language.
    if schema_editor.client.capabilities.dialect == "postgres":
        await schema_editor.client.execute_script(
            'ALTER TABLE events ALTER COLUMN title_key TYPE VARCHAR(200) COLLATE "C"'
        )


async def fill_keys(apps, schema_editor):
    client = schema_editor.client
    postgres = client.capabilities.dialect == "postgres"
    marks = ("$1", "$2", "$3") if postgres else ("?", "?", "?")
    change = "UPDATE events SET title_key = {}, location_key = {} WHERE id = {}".format(*marks)
    last = "00000000-0000-0000-0000-000000000000"
    while rows := await client.execute_query_dict(
        f"SELECT id, title, location FROM events WHERE id > {marks[0]} ORDER BY id LIMIT {BATCH}", [last]
    ):
        keys = [[fold(row["title"])[:200], fold(row["location"]), row["id"]] for row in rows]
        await client.execute_many(change, keys)
        last = rows[-1]["id"]
    await client.execute_script("UPDATE events SET starts_key = starts_at WHERE starts_at IS NOT NULL")


async def give_calendar_keys(apps, schema_editor):
    client = schema_editor.client
    marks = ("$1", "$2") if client.capabilities.dialect == "postgres" else ("?", "?")
    rows = await client.execute_query_dict("SELECT id FROM users")
    if rows:
        keys = [[new_calendar_key(), row["id"]] for row in rows]
        await client.execute_many("UPDATE users SET calendar_key = {} WHERE id = {}".format(*marks), keys)


async def leave_them(apps, schema_editor):
    pass  # the columns go


class Migration(migrations.Migration):
    dependencies = [('models', '0001_initial')]

    initial = False

    operations = [
        ops.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('key', fields.CharField(max_length=255)),
                ('input_hash', fields.CharField(max_length=64)),
                ('event_id', fields.UUIDField()),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'idempotency_keys', 'app': 'models', 'unique_together': (('user', 'key'),), 'indexes': [Index(fields=['created_at'], name='idempotency_keys_oldest')], 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Rsvp',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('event', fields.ForeignKeyField('models.Event', source_field='event_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('status', fields.CharField(max_length=10)),
                ('ticket', fields.IntField()),
                ('updated_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'rsvps', 'app': 'models', 'unique_together': (('event', 'user'),), 'indexes': [Index(fields=['event_id', 'status', 'ticket'], name='rsvps_line'), Index(fields=['user_id', 'status'], name='rsvps_of_user')], 'pk_attr': 'id', 'table_description': "A user's place at an event: one row for the two, however often it is given up and taken again."},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Event',
            name='confirmed_count',
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name='Event',
            name='location_key',
            field=fields.TextField(db_default='', unique=False),
        ),
        ops.AddField(
            model_name='Event',
            name='starts_key',
            field=fields.DatetimeField(db_default=datetime.datetime.fromisoformat('9999-12-31T23:59:59+00:00'), auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Event',
            name='status',
            field=fields.CharField(default='SCHEDULED', db_default='SCHEDULED', max_length=9),
        ),
        ops.AddField(
            model_name='Event',
            name='tickets',
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name='Event',
            name='title_key',
            field=fields.CharField(db_default='', max_length=200),
        ),
        ops.AddField(
            model_name='Event',
            name='version',
            field=fields.IntField(default=1, db_default=1),
        ),
        ops.AddField(
            model_name='Event',
            name='waitlist_count',
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.RunPython(sort_titles_by_character, leave_them),
        ops.RunPython(fill_keys, leave_them),
        ops.AddIndex(
            model_name='Event',
            index=Index(fields=['starts_key', 'id'], name='events_soonest'),
        ),
        ops.AddIndex(
            model_name='Event',
            index=Index(fields=['title_key', 'id'], name='events_by_title'),
        ),
        ops.AddIndex(
            model_name='Event',
            index=Index(fields=['confirmed_count', 'id'], name='events_by_confirmed'),
        ),
        ops.AddField(
            model_name='User',
            name='calendar_key',
            field=fields.CharField(default=new_calendar_key, db_default='', max_length=43),
        ),
        ops.RunPython(give_calendar_keys, leave_them),
    ]
