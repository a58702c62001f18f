from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.base import OnDelete
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0004_sessions')]

    initial = False

    operations = [
        ops.CreateModel(
            name='KnownPlace',
            fields=[
                ('place_hash', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_index=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('seen_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'known_places', 'app': 'models', 'pk_attr': 'place_hash', 'table_description': 'An account and an address, in one hash that nobody can make without the key.'},
            bases=['Model'],
        ),
    ]
