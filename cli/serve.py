import asyncio
import socket
import sys
from contextlib import suppress

import uvicorn

import models
from app import create_app
from settings import Settings, read_settings


def serve() -> None:
    """Serve the API, its explorer and its health checks, until Ctrl-C."""
    settings = read_settings()
    asyncio.run(_refuse_a_database_away(settings))
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    sys.stderr.write(f"The explorer and the API: http://{host}:{port}/graphql\n")
    config = uvicorn.Config(
        create_app(settings),
        log_level=settings.log_level,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    with suppress(KeyboardInterrupt):  # Ctrl-C is how it is meant to end; uvicorn has already drained
        uvicorn.Server(config).run(sockets=[listener])


async def _refuse_a_database_away(settings: Settings) -> None:
    # Before uvicorn starts, which would tell the same with a traceback.
    await models.open_database(settings)
    await models.close_database()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        sys.stderr.write(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Set HOST or PORT to another.\n"
        )
        sys.exit(1)
    return listener
