"""The application, put together."""

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from hashlib import blake2b
from types import FrameType
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

import models
from auth import Accounts, Proxies
from calendars.links import Links
from models.changes import Change, listen
from models.replica import ReadReplica
from replicas import Replicas
from replicas.limits import Rates, Shared
from replicas.memory import Memory
from replicas.places import Places, SharedPlaces
from replicas.redis import Redis
from schema import build_executor
from schema.freshness import Freshness
from schema.live import Live
from schema.wire import ChangeWire
from settings import SettingError, Settings, read_settings
from web import graphiql, health, jwks, request_log
from web.calendars import Calendars
from web.graphql import GraphQLEndpoint
from web.log import Requests
from web.metrics import Metrics
from web.operations import Operations
from web.websocket import WebSocketEndpoint

if TYPE_CHECKING:
    from web.tracing import Traces

GOODBYE_SECONDS = 0.5  # for sockets and streams to be ended, before the server itself begins to stop

# FastAPI's own would tell whole addresses, and with them what opens a calendar and what clients put behind a "?": to
# whichever collector the environment names. Ours is web/tracing.py.
_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)


class Planner(FastAPI):
    """Answers /graphql ahead of FastAPI, whose middleware and routes take half as long again as a short answer does;
    everything else as FastAPI does."""

    def __init__(self, graphql: ASGIApp, lifespan: Any) -> None:
        # A redirect to the address without its last slash would lead to whatever host the Host header names.
        super().__init__(
            title="Planner", lifespan=lifespan, openapi_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY
        )
        self.graphql = graphql

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            await self.graphql(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application. Its lifespan opens the database, which `planner migrate` has made ready."""
    logging.getLogger("planner").setLevel(settings.log_level.upper())
    logging.getLogger("planner.audit").setLevel("INFO")  # at every level: it is for whoever looks into a break-in
    request_log.keep_small_and_clean()
    replicas, rates, freshness = _shared(settings)
    accounts, links = Accounts(settings, rates), Links(settings)
    keys = accounts.sessions.access_tokens.keys
    live = Live(replicas)
    metrics, executor, traces = Metrics(), build_executor(freshness), _traces(settings)
    metrics.watch(executor, lambda: accounts.passwords.pending)
    metrics.watch_database(health.DatabaseWatch())
    if settings.redis_url:
        metrics.watch_redis(replicas)
    if freshness:
        metrics.watch_replica(freshness.replica)
    operations = Operations(
        executor,
        accounts,
        live,
        links,
        proxies=Proxies(settings.trusted_proxies),
        metrics=metrics,
        requests=Requests(settings.log_requests),
        traces=traces,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await models.open_database(settings)
        stop_listening, watching = listen(live.tell), asyncio.create_task(keys.watch())
        try:
            if traces:
                traces.open()
            await replicas.open()
            await accounts.passwords.warm()
            gc.collect()
            gc.freeze()  # what is there from the start stays: each full collection looked through it, 35 ms of the loop
            async with (
                metrics.served(settings.metrics_host, settings.metrics_port),
                freshness.kept() if freshness else nullcontext(),
            ):
                with _told_to_stop(operations.stop):
                    yield
        finally:
            operations.stop()
            await operations.finish()
            stop_listening()
            await replicas.close()
            await rates.close()
            watching.cancel()
            accounts.passwords.close()
            await models.close_database()
            if traces:
                await traces.close()

    endpoint: ASGIApp = GraphQLEndpoint(operations, max_body_bytes=settings.max_body_bytes, page=graphiql.page)
    cors: dict[str, Any] = {
        "allow_origins": settings.allowed_origins,
        "allow_methods": ["GET", "POST"],
        "allow_headers": ["authorization", "cache-control", "content-type"],
        "expose_headers": ["x-request-id", "retry-after"],
        "max_age": 600,
    }
    if traces:
        endpoint = traces.requests(endpoint, "/graphql")
        cors["allow_headers"] += ["traceparent", "tracestate"]
    if settings.allowed_origins:
        endpoint = CORSMiddleware(endpoint, **cors)
    app = Planner(endpoint, lifespan)
    app.state.replicas, app.state.freshness = replicas, freshness
    sockets = WebSocketEndpoint(
        operations, allowed_origins=settings.allowed_origins, max_message_bytes=settings.max_body_bytes
    )
    app.router.routes.append(WebSocketRoute("/graphql", metrics.count_sockets(sockets)))
    feeds = Calendars(links, freshness).routes()
    if traces:
        for feed in feeds:
            feed.app = traces.requests(feed.app, feed.path)
    app.router.routes.extend(feeds)
    app.router.routes.extend(graphiql.routes())
    app.include_router(health.router)
    app.router.routes.append(jwks.route(keys))
    app.router.routes.append(Route("/", lambda _: RedirectResponse("/graphql")))
    app.add_middleware(metrics.count_feeds)
    if settings.allowed_origins:
        app.add_middleware(CORSMiddleware, **cors)
    return app


def _traces(settings: Settings) -> "Traces | None":
    if not settings.traces_url:
        return None
    try:
        from web.tracing import Traces
    except ModuleNotFoundError as error:
        raise SettingError(f"TRACES_URL needs {error.name}, which is not installed. Run make otel.") from None
    return Traces.sent_to(settings.traces_url, settings.traces_share)


def _shared(settings: Settings) -> tuple[Replicas[Change], Rates, Freshness | None]:
    """What several processes share, where there are several."""
    replica = ReadReplica(settings) if settings.database_read_url else None
    if not settings.redis_url:
        return Memory(), Rates(), Freshness(replica, Places()) if replica else None
    # Whoever has the secret belongs together, whatever else uses the same Redis.
    name = "planner:" + blake2b(settings.secret_key.encode(), digest_size=8, person=b"planner.replicas").hexdigest()
    return (
        Redis(settings.redis_url, f"{name}:changes", ChangeWire()),
        Rates(Shared(settings.redis_url, f"{name}:tries:")),
        Freshness(replica, SharedPlaces(settings.redis_url, f"{name}:wrote:")) if replica else None,
    )


@contextmanager
def _told_to_stop(stop: Callable[[], None]) -> Iterator[None]:
    """Has `stop` called as soon as the process is asked to end. The server would first wait for the open streams, which
    have no end of their own, and end the lifespan after that."""
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}

    def asked(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        # Later, since uvicorn would close the sockets itself, and say 1012, where it is quicker than they are.
        loop.call_soon_threadsafe(loop.call_later, GOODBYE_SECONDS, before[signal.Signals(number)], number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):  # the server's own; where there is none, nobody waits either
                before[number] = handler
                signal.signal(number, asked)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def __getattr__(name: str) -> Any:
    # `uvicorn app:app` finds it; importing this module alone reads no environment.
    if name == "app":
        return create_app(read_settings())
    raise AttributeError(name)
