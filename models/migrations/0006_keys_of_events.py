from tortoise import migrations
from tortoise.migrations import operations as ops

# On PostgreSQL alone: what belongs to an event has a primary key with the event's id in it, which is what a distributed
# one spreads tables by (docs/scaling.md). Nothing looks for a tag's or a text's number, so that needs no index any more.
# The tables' rows and columns stay as they are, and the servers of the release before go on.
KEYS = (
    ("rsvps", "event_id, user_id", "uid_rsvps_event_i_dceb75"),
    ("event_tags", "key, event_id", "uid_event_tags_key_74204b"),
    ("event_texts", "event_id", "event_texts_event_id_key"),
)


async def take_the_events_key(apps, schema_editor):
    for table, columns, unique in KEYS:
        await run(
            schema_editor,
            f"CREATE UNIQUE INDEX {table}_key ON {table} ({columns})",
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX {table}_key",
            f"ALTER TABLE {table} DROP CONSTRAINT {unique}",
        )
    await run(schema_editor, "CREATE INDEX rsvps_id ON rsvps (id)")


async def take_the_own_key(apps, schema_editor):
    await run(schema_editor, "DROP INDEX rsvps_id")
    for table, columns, unique in KEYS:
        await run(
            schema_editor,
            f"ALTER TABLE {table} ADD CONSTRAINT {unique} UNIQUE ({columns})",
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD CONSTRAINT {table}_pkey PRIMARY KEY (id)",
        )


async def run(schema_editor, *statements):
    client = schema_editor.client
    if client.capabilities.dialect == "postgres":
        for statement in statements:
            await client.execute_query(statement)


class Migration(migrations.Migration):
    dependencies = [('models', '0005_known_addresses')]

    initial = False

    operations = [ops.RunPython(take_the_events_key, take_the_own_key)]
