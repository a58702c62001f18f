"""What Prometheus is told, and the small server that tells it, on a port of its own. docs/monitoring.md names each
metric; tests/web/test_metrics.py compares.

Operations are counted in operation_times.py. All else is counted where it happens, or kept there anyway and read when
it is asked for.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calendars.links import ROOT
from executor import Executor
from models import turns
from models.engines.pool import POOLS, Pool
from models.replica import ReadReplica
from replicas import Replicas
from web.health import DatabaseWatch
from web.operation_times import RENEW_SECONDS, OperationTimes

LAG_EVERY_SECONDS = 0.25
MOST_WORKERS = 64  # that may share a machine, each on a port of its own

SPANS_LOST = Counter("planner_spans_lost", "Spans of traces that the collector did not take.")
log = logging.getLogger("planner.metrics")


class _Count(Collector):
    """A number that is kept elsewhere and only grows."""

    def __init__(self, name: str, meaning: str, read: Callable[[], int]) -> None:
        self._name, self._meaning, self._read = name, meaning, read

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._meaning, value=self._read())


class _InProgress:
    """Not a function: Starlette's routes would call that with a WebSocket."""

    def __init__(self, gauge: Gauge, app: ASGIApp) -> None:
        self._gauge, self._app = gauge, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._gauge.track_inprogress():
            await self._app(scope, receive, send)


class Metrics:
    """Of one application. What whole processes count, such as memory and refused tries, is told with it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(REGISTRY)
        self.operations = OperationTimes()
        self.registry.register(self.operations)
        self.sockets = Gauge("planner_websockets", "Open WebSockets.", registry=self.registry)
        self.streams = Gauge("planner_streams", "Open streams of server-sent events.", registry=self.registry)
        self.subscriptions = Gauge("planner_subscriptions", "Subscriptions that are heard.", registry=self.registry)
        self.told = Counter("planner_subscription_answers", "Answers that subscriptions gave.", registry=self.registry)
        self.fell_behind = Counter(
            "planner_subscriptions_fell_behind",
            "Subscriptions that ended since their client read too slowly, or word of changes was lost.",
            registry=self.registry,
        )
        self.feeds = Counter("planner_feeds", "Answers to calendar programs.", ["status"], registry=self.registry)
        for status in (200, 304, 404, 500, 503):
            self.feeds.labels(status)  # from the start: of a series that begins at 1, Prometheus knows no increase
        self.lag = Histogram(
            "planner_loop_lag_seconds",
            "How late the event loop came to a timer.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=self.registry,
        )
        self._watches: list[Callable[[], Coroutine[Any, Any, None]]] = [self._watch_the_loop, self._renew_names]

    def watch(self, executor: Executor, pending_hashes: Callable[[], int]) -> None:
        """Tells what is kept by these, and by the pools."""
        documents = executor.documents
        self._read("planner_documents_kept", "Documents that are kept.", documents.__len__)
        self._count("planner_documents_found", "Documents that were found.", lambda: documents.found)
        self._count("planner_documents_not_found", "Documents that had to be parsed.", lambda: documents.not_found)
        self._read("planner_hashes_pending", "Passwords that are hashed or wait for it.", pending_hashes)
        connections = "planner_database_connections"
        self._read(connections, "Connections to PostgreSQL.", lambda: _sum(lambda pool: pool.size))
        self._read(f"{connections}_free", "Those that nobody uses.", lambda: _sum(lambda pool: pool.free))
        self._read(f"{connections}_most", "As many as there may be.", lambda: _sum(lambda pool: pool.most))
        self._read("planner_database_waiting", "Who waits for a connection.", lambda: _sum(lambda pool: pool.waiting))
        self._count("planner_database_waits", "Times that none was free.", lambda: _sum(lambda pool: pool.waits))
        self._read("planner_event_turns_waiting", "Who waits for a turn at an event.", turns.waiting)

    def watch_replica(self, replica: ReadReplica) -> None:
        self._read("planner_read_replica_behind_seconds", "How old it may be.", lambda: replica.behind_seconds)
        self._read("planner_read_replica_asked", "1 where it is asked, else 0.", lambda: replica.is_usable)
        self._count(
            "planner_read_replica_unanswered",
            "Statements that the primary answered for it.",
            lambda: replica.unanswered,
        )

    def watch_redis(self, replicas: Replicas[Any]) -> None:
        self._read("planner_redis_answers", "1 where word of other workers comes, else 0.", lambda: replicas.is_whole)

    def watch_database(self, database: DatabaseWatch) -> None:
        """It asks only while somebody may want to know."""
        self._read("planner_database_answers", "1 where it answers in time, else 0.", lambda: database.answers)
        self._watches.append(database.watch)

    def _read(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def _count(self, name: str, meaning: str, read: Callable[[], int]) -> None:
        self.registry.register(_Count(name, meaning, read))

    def count_sockets(self, endpoint: ASGIApp) -> ASGIApp:
        return _InProgress(self.sockets, endpoint)

    def count_feeds(self, app: ASGIApp) -> ASGIApp:
        """What the application answers below the calendars' address, by status."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            has_started = False

            async def count(message: Message) -> None:
                nonlocal has_started
                if message["type"] == "http.response.start":
                    has_started = True
                    self.feeds.labels(message["status"]).inc()
                await send(message)

            if scope["type"] != "http" or not scope["path"].startswith(f"{ROOT}/"):
                await app(scope, receive, send)
                return
            try:
                await app(scope, receive, count)
            except Exception:
                if not has_started:
                    self.feeds.labels(500).inc()  # which Starlette answers, around this
                raise

        return counted

    @asynccontextmanager
    async def served(self, host: str, port: int) -> AsyncIterator[int]:
        """Tells whoever asks at this port, or the next that is free: at which; at none where it is 0. By a thread: it
        answers while the event loop is blocked, which is when somebody wants to know. Raises OSError where no port is
        free."""
        if not port:
            yield port
            return
        server, thread = _listen(self.registry, host, port)
        log.info("metrics at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, server.server_port)
        watching = [asyncio.create_task(watch()) for watch in self._watches]
        try:
            yield server.server_port
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)  # a question under way gives its connection back
            await asyncio.to_thread(server.shutdown)  # up to half a second
            server.server_close()
            thread.join()

    async def _watch_the_loop(self) -> None:
        while True:
            due = time.monotonic() + LAG_EVERY_SECONDS  # loop.time() stands still while the loop is busy
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.lag.observe(max(0.0, time.monotonic() - due))

    async def _renew_names(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            self.operations.renew()


def _listen(registry: CollectorRegistry, host: str, port: int) -> tuple[WSGIServer, Thread]:
    """At the first of the ports from this one on that is free: workers and their successors share them out."""
    for tried in range(port, port + MOST_WORKERS):
        with suppress(OSError):
            return start_http_server(tried, host, registry)
    raise OSError(
        f"No port from {port} to {port + MOST_WORKERS - 1} is free at {host}. Set METRICS_HOST or METRICS_PORT."
    )


def _sum(read: Callable[[Pool], int]) -> int:
    return sum(read(pool) for pool in [*POOLS])
