"""Every setting with its default and unit. The only reader of the environment."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent

NEW_SECRET = "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"  # noqa: S105 - a remedy


class SettingError(Exception):
    """A value that cannot be used. The text names each key, its value and the remedy, a line a key."""


class Settings(BaseSettings):
    """Read from the environment, then from `.env` beside this file; an empty value counts as not set."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env", env_file_encoding="utf-8", frozen=True, extra="ignore", env_ignore_empty=True
    )

    # repr=False: a repr ends in logs.
    secret_key: str = Field(
        repr=False, description="Signs the access tokens; at least 32 bytes. Whoever has it can be anybody."
    )
    database_url: str = Field(
        "sqlite://var/planner.sqlite3",
        repr=False,
        description="sqlite://<file> or postgresql://<user>:<password>@<host>:<port>/<database>?sslmode=<mode>"
        "&sslrootcert=<file>.",
    )
    database_read_url: str = Field(
        "",
        repr=False,
        description="A PostgreSQL that follows that of DATABASE_URL, in the same form: it answers what may be a moment"
        " old.",
    )
    database_pool_size: int = Field(10, ge=1, le=500, description="PostgreSQL connections a process, at most.")
    database_wait_seconds: float = Field(
        5,
        ge=0.01,  # PostgreSQL counts in milliseconds, and takes 0 for no limit
        le=60,
        description="Wait for a free connection (PostgreSQL), or for who else writes (SQLite); then the answer is"
        " UNAVAILABLE.",
    )
    database_statement_seconds: float = Field(
        10, ge=0.1, le=600, description="A statement's time on PostgreSQL; then the answer is UNAVAILABLE."
    )
    database_statement_cache: int = Field(
        100,
        ge=0,
        le=10_000,
        description="Prepared statements that a PostgreSQL connection keeps; 0 behind PgBouncer in transaction mode.",
    )
    redis_url: str = Field(
        "",
        repr=False,
        description="redis://<user>:<password>@<host>:<port>/<number>, or rediss:// with TLS: by it several processes"
        " tell each other of changes, and count tries together. If empty, one process serves alone.",
    )
    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    public_url: str = Field(
        "", description="The address under which clients reach the server; if empty, as each request says."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Web origins that may call this server from a browser (CORS), with commas between; or *."
    )
    keys_folder: str = Field(
        "", description="Holds the keys that planner keys makes; if empty, SECRET_KEY alone signs the access tokens."
    )
    access_token_minutes: int = Field(15, ge=1, le=24 * 60, description="An access token's life.")
    refresh_token_days: int = Field(14, ge=1, le=90, description="A session that is not used for as long is over.")
    session_days: int = Field(30, ge=1, le=365, description="A session that is as old is over, however it is used.")
    token_issuer: str = Field("planner", min_length=1, description="The access token's iss.")
    token_audience: str = Field("planner", min_length=1, description="The access token's aud.")
    password_min_length: int = Field(8, ge=8, le=64, description="Characters a new password has at least.")
    bcrypt_cost: int = Field(
        12,
        ge=10,
        le=16,
        description="Each step doubles a password's hashing time. A kept hash follows at its owner's next sign-in.",
    )
    bcrypt_queue: int = Field(
        32, ge=1, le=10_000, description="Passwords that may wait to be hashed; more are answered UNAVAILABLE."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For says who calls, with commas between.",
    )
    address_signups_per_hour: int = Field(
        60, ge=1, le=1_000_000, description="Sign-ups from one address; a quarter of them in a minute, thrice in a day."
    )
    address_guesses_per_hour: int = Field(
        100, ge=1, le=1_000_000, description="Wrong sign-ins from one address; in a minute and a day likewise."
    )
    account_guesses_per_hour: int = Field(
        20,
        ge=4,
        le=1000,
        description="Wrong passwords for one account from each place that it knows, and from all others together.",
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1024, le=64 * 1024 * 1024, description="A larger request is refused: 413."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What the log tells.")
    log_format: Literal["text", "json"] = Field("text", description="json writes an object a line, for collectors.")
    log_requests: float = Field(
        0, ge=0, le=1, description="The share of requests that get a line in the log; faults of the server's always do."
    )
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="Where Prometheus reads the metrics; they are for the operator alone."
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Their port; each further worker takes the next one that is free. With 0 there are none.",
    )

    traces_url: str = Field(
        "",
        description="A collector of OpenTelemetry's, which takes traces by OTLP over HTTP. If empty, there are none.",
    )
    traces_share: float = Field(
        0.01, ge=0, le=1, description="The share of requests that is traced; those of a traced client's always are."
    )

    @field_validator("secret_key")
    @classmethod
    def _is_long_enough(cls, value: str) -> str:
        try:
            if len(value.encode()) >= 32:
                return value
        except UnicodeEncodeError:
            raise ValueError(f"must be text in UTF-8. {NEW_SECRET}") from None  # its own words tell a part of it
        raise ValueError(f"must be at least 32 bytes. {NEW_SECRET}")

    @field_validator("public_url", "traces_url")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?", value):
            raise ValueError("must be an address like https://example.org, without ? and #")
        return value.rstrip("/")

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(o.strip() for o in value.split(",") if o.strip()) if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            # As browsers write it: in small letters, an international name in punycode.
            if origin != "*" and not re.fullmatch(
                r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", origin
            ):
                raise ValueError(f"{origin} is not an origin; write it like https://example.org, without a path")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in value:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError(
                    f"{proxy} is no address and no network; write it like 10.0.0.1 or 10.0.0.0/8"
                ) from None
        return value

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, value: str) -> str:
        if not value.startswith(("sqlite://", "postgresql://", "postgres://")) or value.endswith("://"):
            raise ValueError("must begin with sqlite:// or postgresql://, and go on")
        return value

    @field_validator("database_read_url")
    @classmethod
    def _is_a_replica(cls, value: str, known: ValidationInfo) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://, and go on")
        if value and known.data.get("database_url", "").startswith("sqlite://"):
            raise ValueError("must be left out: DATABASE_URL is SQLite, which nothing follows")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis(cls, value: str) -> str:
        # No ?options: those of the package could switch off what keeps a process from waiting for Redis.
        if value and not re.fullmatch(
            r"rediss?://([^\s/?#@]*@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/\d{0,5})?", value
        ):
            raise ValueError(
                "must be an address like redis://user:password@127.0.0.1:6379/0, the password percent-encoded"
            )
        return value


def read_settings(**overrides: object) -> Settings:
    """The settings, or SettingError with every bad key at once."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingError("\n".join(_line(one) for one in error.errors())) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f".env cannot be read: {error}. It is text in UTF-8, like .env.example.") from None


def _line(problem: object) -> str:
    assert isinstance(problem, dict)  # noqa: S101 - narrows pydantic's TypedDict for the lines below
    key = ".".join(str(part) for part in problem["loc"]).upper()
    if problem["type"] == "missing":
        return f"{key} is not set. Put it into .env or the environment. {NEW_SECRET}"
    reason = problem["msg"].removeprefix("Value error, ")
    shown = (
        "(not shown)"
        if key in {"SECRET_KEY", "DATABASE_URL", "DATABASE_READ_URL", "REDIS_URL"}
        else repr(problem["input"])
    )
    return f"{key}={shown}: {reason}. .env.example tells what it may be."
