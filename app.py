"""The application, put together."""

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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

LISTEN_SECONDS = 0.5  # from the signal on: what was sent before it is read, and answered
LAST_SECONDS = 0.25  # for what the server itself has cut short to be told so
END_SECONDS = 9  # from the signal on, whatever hangs

log = logging.getLogger("planner")

# FastAPI's own would tell whole addresses, and with them what opens a calendar and what clients put behind a "?": to
# whichever collector the environment names. Ours is web/tracing.py.
_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)


class Planner(FastAPI):
    """Answers /graphql ahead of FastAPI, whose middleware and routes take half as long again as a short answer does;
    everything else as FastAPI does."""

    def __init__(self, graphql: ASGIApp, operations: Operations, lifespan: Any) -> None:
        # A redirect to the address without its last slash would lead to whatever host the Host header names.
        super().__init__(
            title="Planner", lifespan=lifespan, openapi_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY
        )
        self.graphql, self._operations = graphql, operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 - a server runs each in one
        self._operations.calls.add(call)
        try:
            if scope["type"] == "http" and scope["path"] == "/graphql":
                await self.graphql(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if not self._operations.stopping.is_set():
                raise
            call.uncancel()  # the server has waited as long as it does; to return beats a trace in the log
        finally:
            self._operations.calls.discard(call)


def create_app(settings: Settings, *, needs_database: bool = True) -> FastAPI:
    """The ASGI application. Its lifespan opens the database, which `planner migrate` has made ready; where it need not
    be there yet, all that wants it is UNAVAILABLE until it is."""
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

    def stop() -> None:
        operations.stop()
        accounts.passwords.stop()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await models.open_database(settings, must_answer=needs_database)
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
                with _told_to_stop(stop, operations.finish):
                    yield
        finally:
            stop()
            await operations.finish(LAST_SECONDS, is_over=True)
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
    app = Planner(endpoint, operations, lifespan)
    app.state.replicas, app.state.rates = replicas, rates
    app.state.freshness, app.state.stopping = freshness, operations.stopping
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
def _told_to_stop(stop: Callable[[], None], finish: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Has `stop` called as soon as the process is asked to end, and the server told once all has come to its `finish`.
    The server would close the sockets first, whatever they wait for, and say 1012."""
    loop = asyncio.get_running_loop()
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}
    ending: list[asyncio.Task[None]] = []

    def asked(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(end, number)

    def end(number: int) -> None:
        if not ending:
            force = threading.Timer(END_SECONDS, _end_by_force)
            force.daemon = True
            force.start()
            ending.append(loop.create_task(finish_first(number)))
        elif number == signal.SIGINT:  # Ctrl-C once more: somebody is in a hurry
            ending[0].cancel()

    async def finish_first(number: int) -> None:
        try:
            stop()
            await asyncio.sleep(LISTEN_SECONDS)
            await finish()
        finally:
            tell_the_server(number)

    def tell_the_server(number: int) -> None:
        if told := before.get(number):  # once: told twice of Ctrl-C, it ends without having ended the application
            forget()
            told(number, None)

    def forget() -> None:
        while before:
            signal.signal(*before.popitem())

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            # The server's own; where there is none, nobody waits either.
            if callable(handler) and handler is not signal.default_int_handler:
                before[number] = handler
                signal.signal(number, asked)
    try:
        yield
    finally:
        forget()


def _end_by_force() -> None:
    # All has been answered by now. A thread that waits for a lock of SQLite's file, say, cannot be told to give it up.
    log.error("the process did not end by itself within %d s, and is ended", END_SECONDS)
    os._exit(0)  # as if it were killed, which loses nothing: see tests/faults/test_killed.py


def __getattr__(name: str) -> Any:
    # `uvicorn app:app` finds it; importing this module alone reads no environment.
    if name == "app":
        return create_app(read_settings())
    raise AttributeError(name)
