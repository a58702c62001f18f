import asyncio
import logging.config
import signal
import socket
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
import uvicorn

import models
from app import create_app
from cli.workers import serve_together
from settings import Settings, read_settings
from web.connections import UNREAD_SECONDS, Patience, SocketConnection
from web.log import formatter

OWN_FILES = 64  # 20 at the start; then SQLite's, Redis', those who ask for metrics


def serve(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve together, by REDIS_URL.")] = 1,
) -> None:
    """Serve the API, its explorer and its health checks, until Ctrl-C."""
    # uvicorn drains, and then gives the signal to whoever handled it before. To be stopped is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = read_settings()
    logging.config.dictConfig(lines := _logging(settings))  # uvicorn does, but create_app has things to say before
    if workers > 1 and not settings.redis_url:
        sys.exit(f"--workers {workers} needs REDIS_URL, by which the processes tell each other of changes. Set it.")
    if workers > 1 and models.is_on_sqlite(settings):
        sys.exit(f"--workers {workers} needs PostgreSQL: SQLite has one server at a time. Set DATABASE_URL.")
    asyncio.run(_refuse_an_unready_database(settings))
    app = create_app(settings)  # before the address is told: it may refuse to start
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    sys.stderr.write(f"The explorer and the API: http://{f'[{host}]' if ':' in host else host}:{port}/graphql\n")
    patience = Patience(_most_connections(settings))
    config = uvicorn.Config(
        app if workers == 1 else "cli.workers:app",
        factory=workers > 1,
        workers=workers,
        http=patience.connection,  # type: ignore[arg-type]  # called as a class is
        ws=SocketConnection,
        callback_notify=patience.look,
        timeout_notify=0,  # at each of its looks at the clock, once a second
        log_config=lines,
        # Never lower: at debug, websockets logs each frame and header, and so tokens and passwords.
        log_level="info" if settings.log_level == "debug" else settings.log_level,
        access_log=settings.log_level == "debug",
        server_header=False,
        ws_max_size=settings.max_body_bytes,
        proxy_headers=False,  # uvicorn would take any address in them; auth/client.py reads them
        timeout_graceful_shutdown=3,  # after app.py has waited for all that was asked before the signal
    )
    with suppress(KeyboardInterrupt):  # Ctrl-C is how it is meant to end; uvicorn has already drained
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            serve_together(config, listener)


async def _refuse_an_unready_database(settings: Settings) -> None:
    # Before uvicorn starts, which would tell the same with a traceback.
    if pending := await models.pending_migrations(settings):
        sys.exit(f"The database lacks {', '.join(pending)}: run planner migrate.")


def _most_connections(settings: Settings) -> int:
    """What leaves the process its own files: the database cannot be reached, nor SQLite's opened, without."""
    try:
        import resource
    except ImportError:  # Windows, which counts otherwise
        return sys.maxsize
    most_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most_files == resource.RLIM_INFINITY:
        return sys.maxsize
    databases = 2 if settings.database_read_url else 1
    return max(1, most_files - OWN_FILES - databases * settings.database_pool_size)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted sockets inherit it
            # What web/connections.py does not see: a client that is gone without a word, or reads nothing of the little
            # that the kernel holds. Later than it, which counts.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, (UNREAD_SECONDS + 10) * 1000)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)  # here, since two processes may bind one port, and only one of them listen
    except OSError as error:
        sys.exit(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Set HOST or PORT to another.")
    return listener


def _logging(settings: Settings) -> dict[str, Any]:
    """For all loggers alike: ours, uvicorn's, asyncio's."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": formatter, "form": settings.log_format}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},  # uvicorn and create_app set their loggers' own
    }
