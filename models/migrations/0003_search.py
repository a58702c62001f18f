from tortoise import migrations
from tortoise.migrations import operations as ops
import json
from models.search import GramList, texts
from tortoise.fields.base import OnDelete
from tortoise import fields

BATCH = 200  # an event's grams can be 60 times as large as its text

# `delete` tells FTS5, which keeps no copy of the row, what it had been told of it. The triggers are the only writers.
ADD = "INSERT INTO event_grams (rowid, grams) VALUES (new.id, new.grams);"
TAKE_AWAY = "INSERT INTO event_grams (event_grams, rowid, grams) VALUES ('delete', old.id, old.grams);"
ON_SQLITE = (
    "CREATE VIRTUAL TABLE event_grams USING fts5("
    "grams, content='event_texts', content_rowid='id', tokenize='ascii', detail='none', columnsize=0)",
    "INSERT INTO event_grams (event_grams) VALUES ('rebuild')",
    f"CREATE TRIGGER event_texts_added AFTER INSERT ON event_texts BEGIN {ADD} END",
    f"CREATE TRIGGER event_texts_deleted AFTER DELETE ON event_texts BEGIN {TAKE_AWAY} END",
    f"CREATE TRIGGER event_texts_changed AFTER UPDATE ON event_texts BEGIN {TAKE_AWAY} {ADD} END",
)
OFF_SQLITE = (
    "DROP TRIGGER event_texts_added",
    "DROP TRIGGER event_texts_deleted",
    "DROP TRIGGER event_texts_changed",
    "DROP TABLE event_grams",
)
ON_POSTGRESQL = ("CREATE INDEX event_texts_grams ON event_texts USING gin (grams)",)
OFF_POSTGRESQL = ("DROP INDEX event_texts_grams",)


async def fill_texts(apps, schema_editor):
    client = schema_editor.client
    dialect = client.capabilities.dialect
    marks = [f"${number}" for number in range(1, 6)] if dialect == "postgres" else ["?"] * 5
    add = "INSERT INTO event_texts (event_id, title, tags, rest, grams) VALUES ({}, {}, {}, {}, {})".format(*marks)
    last = "00000000-0000-0000-0000-000000000000"
    while rows := await client.execute_query_dict(
        f"SELECT id, title, tags, description, location FROM events WHERE id > {marks[0]} ORDER BY id LIMIT {BATCH}",
        [last],
    ):
        events = [{**row, "tags": json.loads(row["tags"])} if dialect == "sqlite" else row for row in rows]
        await client.execute_many(add, [[event["id"], *texts(event, dialect)] for event in events])
        last = rows[-1]["id"]


async def index_texts(apps, schema_editor):
    await run(schema_editor, ON_POSTGRESQL, ON_SQLITE)


async def drop_index_of_texts(apps, schema_editor):
    await run(schema_editor, OFF_POSTGRESQL, OFF_SQLITE)


async def run(schema_editor, on_postgresql, on_sqlite):
    client = schema_editor.client
    # One by one: what splits a script into statements at its semicolons would split the triggers too.
    for statement in on_postgresql if client.capabilities.dialect == "postgres" else on_sqlite:
        await client.execute_query(statement)


async def leave_them(apps, schema_editor):
    pass  # the table goes


class Migration(migrations.Migration):
    dependencies = [('models', '0002_changing_and_seats')]

    initial = False

    operations = [
        ops.CreateModel(
            name='EventText',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('event', fields.OneToOneField('models.Event', source_field='event_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('title', fields.TextField(unique=False)),
                ('tags', fields.TextField(unique=False)),
                ('rest', fields.TextField(unique=False)),
                ('grams', GramList(generated=False, null=False, unique=False)),
            ],
            options={'table': 'event_texts', 'app': 'models', 'pk_attr': 'id', 'table_description': "An event's texts, folded."},
            bases=['Model'],
        ),
        ops.RunPython(fill_texts, leave_them),
        ops.RunPython(index_texts, drop_index_of_texts),
    ]
