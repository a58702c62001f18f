"""Who is measured. Each module has `create_app(database_url)`, an ASGI application. All of them read and write the
planner's tables, but for the tutorial's two, which have tables of their own: see tables.py."""

from dataclasses import dataclass

from settings import Settings

POOL_SIZE = 10  # connections to PostgreSQL, the same for everybody
SECRET = "signs tokens for databases that are thrown away"  # noqa: S105 - and opens nothing else


@dataclass(frozen=True)
class Rival:
    name: str
    module: str


LIMIT = Rival("limit", "bench.rivals.limit")
OURS = Rival("ours", "bench.rivals.ours")
PLAIN = Rival("plain", "bench.rivals.plain")
REST = Rival("rest", "bench.rivals.rest")


def settings_of(database_url: str) -> Settings:
    """The planner's."""
    # Without .env: its owner's settings must not enter into the figures.
    return Settings(
        _env_file=None,
        secret_key=SECRET,
        database_url=database_url,
        database_pool_size=POOL_SIZE,
        access_token_minutes=24 * 60,  # longer than any run
        trusted_proxies=("127.0.0.1",),  # the load says which address it comes from
        log_level="warning",
    )
