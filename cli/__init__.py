"""The command `planner`: one file a command."""

import sys

import typer

from auth.rotation import KeyRefused
from cli.demo import demo
from cli.doctor import doctor
from cli.keys import keys
from cli.migrate import migrate
from cli.schema import schema
from cli.serve import serve
from cli.stress import stress
from models import DatabaseUnreachable
from settings import SettingError

commands = typer.Typer(
    name="planner",
    no_args_is_help=True,
    add_completion=False,
    help="A GraphQL event planner.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # a log wants a plain traceback
)
commands.command()(serve)
commands.command()(migrate)
commands.command()(schema)
commands.command()(doctor)
commands.command()(demo)
commands.command()(stress)
commands.add_typer(keys, name="keys")


def main() -> None:
    """Runs the command. What the operator can mend is told in a line a matter, without a traceback: exit code 1."""
    try:
        commands()
    except (SettingError, DatabaseUnreachable, KeyRefused) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
