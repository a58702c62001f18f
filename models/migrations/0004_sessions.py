from tortoise import migrations
from tortoise.migrations import operations as ops
import datetime
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0003_search')]

    initial = False

    operations = [
        ops.CreateModel(
            name='RefreshToken',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('session', fields.ForeignKeyField('models.Session', source_field='session_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('token_hash', fields.CharField(max_length=64)),
                ('generation', fields.IntField()),
            ],
            options={'table': 'refresh_tokens', 'app': 'models', 'unique_together': (('session', 'token_hash'),), 'pk_attr': 'id', 'table_description': "A token of the session's present generation, or of the one before. Older ones are known by their family."},
            bases=['Model'],
        ),
        ops.AlterModelOptions(
            name='Session',
            options={'table': 'sessions', 'app': 'models', 'indexes': [Index(fields=['refresh_expires_at'], name='sessions_oldest')], 'pk_attr': 'id', 'table_description': 'One sign-in, on one device: a family of refresh tokens, each traded for the next.'},
        ),
        ops.AddField(
            model_name='Session',
            name='generation',
            field=fields.IntField(default=1, db_default=1),
        ),
        ops.AddField(
            model_name='Session',
            name='last_used_at',
            field=fields.DatetimeField(db_default=datetime.datetime.fromisoformat('1970-01-01T00:00:00+00:00'), auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Session',
            name='rotated_at',
            field=fields.DatetimeField(db_default=datetime.datetime.fromisoformat('1970-01-01T00:00:00+00:00'), auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Session',
            name='user_agent',
            field=fields.CharField(null=True, max_length=200),
        ),
        ops.AddIndex(
            model_name='Session',
            index=Index(fields=['refresh_expires_at'], name='sessions_oldest'),
        ),
        ops.RunSQL(
            'UPDATE sessions SET rotated_at = created_at, last_used_at = created_at',
            reverse_sql='SELECT 1',
        ),
    ]
