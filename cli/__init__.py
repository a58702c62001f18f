"""The command `planner`: one file a command."""

import sys

import typer

from cli.migrate import migrate
from cli.schema import schema
from cli.serve import serve
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


def main() -> None:
    """Runs the command. What the operator can mend is told in a line a matter, without a traceback: exit code 1."""
    try:
        commands()
    except (SettingError, DatabaseUnreachable) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
