"""The database: where it is, opened, asked, closed."""

import logging
import sqlite3
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from tortoise import Tortoise
from tortoise.exceptions import OperationalError

from errors import Unavailable
from models.reads import query
from models.tls import asked_for
from settings import ROOT, SettingError, Settings

# What is raised where the database cannot be reached, or is not one. UnicodeError: of a host's name that is none.
# InterfaceError, InternalClientError: of settings that asyncpg refuses itself, and of a server that it cannot talk to.
CANNOT_USE = (
    Unavailable,
    OSError,
    UnicodeError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

log = logging.getLogger("planner.database")

REPLICA_WAIT_SECONDS = 2.0  # for a connection; then the primary is asked


class DatabaseUnreachable(Exception):
    """Said in one line, without the password."""


def database_config(settings: Settings) -> dict[str, Any]:
    """Tortoise's configuration. Raises SettingError where DATABASE_URL cannot be understood."""
    if is_on_sqlite(settings):
        credentials = {"file_path": str(sqlite_file(settings)), "wait_seconds": settings.database_wait_seconds}
        return _config({"engine": "models.engines.sqlite", "credentials": credentials})
    credentials = _postgresql("DATABASE_URL", settings.database_url, settings)
    return _config({"engine": "models.engines.asyncpg", "credentials": credentials})


def replica_credentials(settings: Settings) -> dict[str, Any]:
    """What models/engines/asyncpg_replica.py is made with. Raises SettingError where DATABASE_READ_URL cannot be
    understood."""
    credentials = _postgresql("DATABASE_READ_URL", settings.database_read_url, settings)
    wait = min(settings.database_wait_seconds, REPLICA_WAIT_SECONDS)
    return {**credentials, "wait_seconds": wait, "timeout": wait}


def _postgresql(key: str, url: str, settings: Settings) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        options = {key: values[-1] for key, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        port = parts.port or 5432
    except ValueError:
        # Not in its own words: where a password is not percent-encoded, they quote a part of it.
        raise SettingError(
            f"{key} cannot be read. .env.example shows its form; write a password percent-encoded."
        ) from None
    host = parts.hostname or options.pop("host", None)  # a server on this machine may listen in a folder alone
    tls = asked_for(key, options)
    if options:
        raise SettingError(
            f"{key}: its options are sslmode, sslrootcert, sslcert and sslkey, and host=<a socket's folder> in place of"
            " a host; write a password percent-encoded."
        )
    database = unquote(parts.path.removeprefix("/"))
    if not (host and database):
        raise SettingError(f"{key}: name the host and the database: postgresql://user:password@host/database.")
    return {
        "host": host,
        "port": port,
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password) if parts.password else None,
        "database": database,
        **tls,
        "minsize": 1,
        "maxsize": settings.database_pool_size,
        "wait_seconds": settings.database_wait_seconds,
        "timeout": settings.database_wait_seconds,
        # Where the way to PostgreSQL is silent, its own limits are not heard of.
        "command_timeout": settings.database_statement_seconds + settings.database_wait_seconds,
        "statement_cache_size": settings.database_statement_cache,
        # A row that a frozen server holds must not take the connections of all the others: they wait for it
        # within bounds too, and PostgreSQL ends a transaction that says nothing any more.
        "server_settings": {
            "statement_timeout": str(round(settings.database_statement_seconds * 1000)),
            "lock_timeout": str(round(settings.database_wait_seconds * 1000)),
            "idle_in_transaction_session_timeout": "30s",
        },
    }


async def connect(credentials: dict[str, Any]) -> Any:
    """A connection of asyncpg's, beside any pool. Raises CANNOT_USE."""
    own = {name: value for name, value in credentials.items() if name not in {"minsize", "maxsize", "wait_seconds"}}
    return await asyncpg.connect(**{**own, "statement_cache_size": 0})


def sqlite_file(settings: Settings) -> Path:
    """sqlite://var/x is below the project, sqlite:///srv/x is where it says."""
    name, _, options = settings.database_url.removeprefix("sqlite://").partition("?")
    if options:
        raise SettingError("DATABASE_URL: SQLite takes no options here; leave out the question mark and the rest.")
    if name == ":memory:":
        raise SettingError("DATABASE_URL: an SQLite database is a file here; nothing would outlive the connection.")
    if (ROOT / name).is_dir():
        raise SettingError(f"DATABASE_URL: {ROOT / name} is a folder; name a file, such as planner.sqlite3, in it.")
    return ROOT / name


def make_folder(settings: Settings) -> None:
    """The folder of the SQLite file; where it is made here, its owner's alone, since e-mails and hashes are in it."""
    sqlite_file(settings).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


_WITH_TABLES = ("user", "session", "place", "event", "tags", "rsvp", "idempotency", "search")


def _config(connection: dict[str, Any]) -> dict[str, Any]:
    return {
        "connections": {"default": connection},
        "apps": {
            "models": {
                "models": [f"models.{name}" for name in _WITH_TABLES],
                "default_connection": "default",
                "migrations": "models.migrations",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


# What Tortoise's own command reads (makemigrations): it looks at the models, at no database.
TORTOISE_ORM = _config({"engine": "models.engines.sqlite", "credentials": {"file_path": ":memory:"}})


async def open_database(settings: Settings, *, must_answer: bool = True) -> None:
    """Connects, and asks once. Raises DatabaseUnreachable; where it need not answer yet, says so in the log, and each
    who asks it connects."""
    config = database_config(settings)
    try:
        if config["connections"]["default"]["engine"].endswith("sqlite"):
            make_folder(settings)
        await Tortoise.init(config=config, _enable_global_fallback=True)
        await ask_database()
    except (*CANNOT_USE, OperationalError) as error:  # the latter where a table is missing: see ask_database
        if not must_answer:
            log.warning("%s", unreachable(settings, error))
            return
        await close_database()
        raise unreachable(settings, error) from error


async def ask_database() -> None:
    """Returns where the database, which has been migrated, answers; raises what it raises where it does not."""
    # A table of ours: SQLite answers SELECT 1 from a file that is gone, full of something else or on a broken disk.
    await query("SELECT 1 AS one FROM users LIMIT 1", [])


async def close_database() -> None:
    await Tortoise.close_connections()


def is_on_sqlite(settings: Settings) -> bool:
    return settings.database_url.startswith("sqlite://")


def told_place(settings: Settings) -> str:
    """Where the database is, without user and password."""
    return str(sqlite_file(settings)) if is_on_sqlite(settings) else place_of(settings.database_url)


def place_of(url: str) -> str:
    """The same of a PostgreSQL."""
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query).get("host", [""])[-1]
    return f"{host}:{parts.port or 5432}{parts.path}"


def unreachable(settings: Settings, error: BaseException) -> DatabaseUnreachable:
    cause = error.__cause__ or error
    said = " ".join(str(cause).split()).removesuffix(".") or type(cause).__name__
    return DatabaseUnreachable(
        f"The database {told_place(settings)} cannot be used: {said}. {_what_to_do(settings, cause)}"
    )


def _what_to_do(settings: Settings, cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError | asyncpg.ClientConfigurationError):
        return (
            "In DATABASE_URL, sslrootcert=<file> names the certificates to trust, and the host is to be named as the"
            " server's certificate does."
        )
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return "To migrate is for the owner of the tables; what a server's user lacks, planner doctor says."
    if is_on_sqlite(settings):
        return "DATABASE_URL says where it is."
    return "Is it running, and may this user in? DATABASE_URL says where it is."
