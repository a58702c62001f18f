"""Who is measured. Each module has `create_app(database_url)`, an ASGI application that answers at /graphql; one with
tables of its own fills them from the planner's when it starts."""

from dataclasses import dataclass

POOL_SIZE = 10  # connections to PostgreSQL, the same for everybody


@dataclass(frozen=True)
class Rival:
    name: str
    module: str


LIMIT = Rival("limit", "bench.rivals.limit")
OURS = Rival("ours", "bench.rivals.ours")
PLAIN = Rival("plain", "bench.rivals.plain")
EVERYBODY = (LIMIT, OURS, PLAIN)
