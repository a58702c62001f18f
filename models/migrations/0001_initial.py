from tortoise import migrations
from tortoise.migrations import operations as ops
from models.tags import TagList
from tortoise.fields.base import OnDelete
from uuid6 import uuid7
from tortoise import fields
from tortoise.indexes import Index


async def index_tags_by_character(apps, schema_editor):
    # PostgreSQL sorts by the database's language unless told otherwise, and then answers no prefix from an index.
    # SQLite sorts by character as it is.
    if schema_editor.client.capabilities.dialect == "postgres":
        await schema_editor.client.execute_script('CREATE INDEX event_tags_prefix ON event_tags (key COLLATE "C")')


async def drop_index_of_tags_by_character(apps, schema_editor):
    if schema_editor.client.capabilities.dialect == "postgres":
        await schema_editor.client.execute_script("DROP INDEX event_tags_prefix")


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name='User',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('email', fields.CharField(max_length=254)),
                ('email_key', fields.CharField(unique=True, max_length=800)),
                ('username', fields.CharField(max_length=50)),
                ('username_key', fields.CharField(unique=True, max_length=200)),
                ('password_hash', fields.CharField(max_length=255)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'users', 'app': 'models', 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Event',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('creator', fields.ForeignKeyField('models.User', source_field='creator_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('title', fields.CharField(max_length=200)),
                ('image', fields.CharField(null=True, max_length=2048)),
                ('description', fields.TextField(unique=False)),
                ('tags', TagList(generated=False, null=False, unique=False)),
                ('location', fields.CharField(max_length=200)),
                ('starts_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('ends_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('time_zone', fields.CharField(null=True, max_length=64)),
                ('capacity', fields.IntField(null=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('updated_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'events', 'app': 'models', 'indexes': [Index(fields=['created_at', 'id'], name='events_newest'), Index(fields=['creator_id', 'created_at', 'id'], name='events_newest_of_creator')], 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='EventTag',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('key', fields.CharField(max_length=200)),
                ('event', fields.ForeignKeyField('models.Event', source_field='event_id', db_index=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'event_tags', 'app': 'models', 'unique_together': (('key', 'event'),), 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Session',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_index=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('refresh_hash', fields.CharField(unique=True, max_length=64)),
                ('refresh_expires_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'sessions', 'app': 'models', 'pk_attr': 'id', 'table_description': 'One sign-in, on one device.'},
            bases=['Model'],
        ),
        ops.RunPython(index_tags_by_character, drop_index_of_tags_by_character),
    ]
