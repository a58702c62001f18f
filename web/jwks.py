"""The public halves of the keys (RFC 7517), by which other services verify our access tokens."""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth.keys import Keys

PATH = "/.well-known/jwks.json"
# Half of what a new key waits before it signs (auth/rotation.py): no copy of the old set outlives that.
MAX_AGE_SECONDS = 300


def route(keys: Keys) -> Route:
    async def jwks(_: Request) -> Response:
        return Response(
            orjson.dumps(keys.ring.jwks),
            media_type="application/jwk-set+json",
            headers={
                "cache-control": f"public, max-age={MAX_AGE_SECONDS}",
                "x-content-type-options": "nosniff",
            },
        )

    return Route(PATH, jwks)
