"""Traces by OpenTelemetry, from a request to its statements: docs/monitoring.md tells what they show. It is imported
only where TRACES_URL is set, since its packages need not be installed.

No attribute holds a document, a variable, a token, an e-mail, a query string, the address of a calendar or what an
exception says: a statement has placeholders, a request is told by its route. The packages are told here what to do, and
not by the environment; nor do other libraries come to know of them, which would tell what is left out.
"""

import asyncio
import logging
import os
import re
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from random import Random
from threading import Thread
from typing import Any, TypeVar

from opentelemetry.context import Context as Above
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from executor import Operation
from models.engines.statements import follow
from schema.context import Context
from web.collector import Collector
from web.log import FAULTS, LONGEST_NAME, TRACE_ID, Allowance, account_of

ASKED_A_SECOND = 50  # traces that clients want beyond the share: anybody can ask for them
LONGEST_SQL = 4_000  # characters of a statement; one for a hundred lists is longer
QUEUE, BATCH = 4_096, 512  # spans that wait to be sent, and that are sent together
SEND_EVERY_MILLISECONDS = 1_000
CLOSE_SECONDS = 2  # for those that wait when the server stops
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})

_DOES = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE)\b")
_TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE) +"?([a-z_]+)')

T = TypeVar("T")
_PRESENT: ContextVar[Span | None] = ContextVar("span", default=None)
_NONE = Above()
_W3C = frozenset({b"traceparent", b"tracestate"})
_w3c = TraceContextTextMapPropagator()
# It warns of each header that is none, in the words of who sent it.
logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)


class Traces:
    """Of a share of the requests, taken by chance. Those with a traceparent do as that says; ASKED_A_SECOND may so be
    traced, and the rest has the chance of all others."""

    def __init__(self, processor: SpanProcessor, share: float) -> None:
        self._share, self._chance = share, Random()  # noqa: S311 - a sample
        self._asked = Allowance(ASKED_A_SECOND)
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is not wanted costs least where it is never begun
            resource=Resource({"service.name": "planner", "process.pid": os.getpid()}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("planner")

    @classmethod
    def sent_to(cls, url: str, share: float) -> "Traces":
        """By a thread, so that nothing waits for the collector; with a queue, which forgets what is too much."""
        return cls(BatchSpanProcessor(Collector(url), QUEUE, SEND_EVERY_MILLISECONDS, BATCH), share)

    def open(self) -> None:
        """From now on the statements of this process are followed."""
        follow(self._statement)

    async def close(self) -> None:
        """Returns once all is sent, or CLOSE_SECONDS are over."""
        follow(None)
        # A thread that is left behind then. Of asyncio's own, and of their work, the process waits for the end.
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, CLOSE_SECONDS)

    def requests(self, app: ASGIApp, route: str) -> ASGIApp:
        """The application, each request of it a span. `route` stands for its addresses, which may hold a secret."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            above = _above(scope)
            if not self._wants(above):
                await app(scope, receive, send)
                return
            method = scope["method"] if scope["method"] in METHODS else "_OTHER"
            attributes = {"http.request.method": method, "http.route": route, "url.scheme": scope["scheme"]}
            with _presently(self._begin(f"{method} {route}", attributes, above or _NONE)) as span:

                async def answer(message: Message) -> None:
                    await send(message)
                    if message["type"] == "http.response.start":
                        _note_response(span, message)

                await app(scope, receive, answer)

        return traced

    @contextmanager
    def operation(self) -> Iterator[None]:
        """One that comes over a socket: a trace of its own, as the handshake's would last for hours. It is forgotten
        where it is refused, or is a subscription: of these, the answers are traced."""
        if _PRESENT.get() or not self._wants(None):
            yield
            return
        with _presently(self._begin("GraphQL", {"network.protocol.name": "websocket"}), ends=False) as span:
            yield
            span.end()

    def answers(self, context: Context) -> "Answers":
        return Answers(self, context)

    def answer(self, links: Sequence[Link]) -> Span | None:
        return self._begin("subscription", {}, links=links) if self._wants(None) else None

    def ran(self, operation: Operation | None, context: Context, codes: Sequence[str]) -> None:
        """What the present span is about; None stands for a document that is not valid, or asks for too much."""
        if not (span := present()):
            return
        told: dict[str, Any] = {"planner.request.id": context.request_id}
        if operation:
            name, kind = operation.label
            span.update_name(kind)  # as OpenTelemetry says: names are the clients', and without number
            told |= {"graphql.operation.type": kind}
            if name:
                told |= {"graphql.operation.name": name[:LONGEST_NAME]}
        if account := account_of(context):
            told |= {"enduser.id": account}
        if codes:
            told |= {"planner.error.codes": sorted({*codes})}
        span.set_attributes(told)
        if faults := FAULTS.intersection(codes):
            _fail(span, min(faults))

    def _statement(self, system: str, sql: str, answer: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        span = present()
        return self._asked_for(span, system, sql, answer) if span else answer

    async def _asked_for(self, span: Span, system: str, sql: str, answer: Coroutine[Any, Any, T]) -> T:
        summary, attributes = _told(system, sql)
        statement = self._tracer.start_span(summary, set_span_in_context(span, _NONE), SpanKind.CLIENT, attributes)
        try:
            return await answer
        except BaseException as error:  # its text may hold values
            _fail(statement, type(error).__name__)
            raise
        finally:
            statement.end()

    def _wants(self, above: Above | None) -> bool:
        if above is not None:
            if not get_current_span(above).get_span_context().trace_flags.sampled:
                return False
            if self._asked.take():
                return True
        return self._chance.random() < self._share

    def _begin(self, name: str, attributes: dict[str, Any], above: Above = _NONE, links: Sequence[Link] = ()) -> Span:
        return self._tracer.start_span(name, above, SpanKind.SERVER, attributes, links)


class Answers:
    """A subscription's, each a trace of its own: one of them all would be seen at their end, hours later, if at all.
    It leads to the request that asked."""

    def __init__(self, traces: Traces, context: Context) -> None:
        self._traces, self._context = traces, context
        span = _PRESENT.get()
        self._links = [Link(span.get_span_context())] if span else []
        self._answer: Span | None = None
        context.renewed = self._begin

    def _begin(self) -> None:
        self.end()
        self._answer = self._traces.answer(self._links)
        _enter(self._answer)

    def ran(self, operation: Operation | None, codes: Sequence[str]) -> None:
        if self._answer:
            self._traces.ran(operation, self._context, codes)
        self.end()

    def end(self) -> None:
        _enter(None)
        if self._answer:
            self._answer.end()
            self._answer = None


def present() -> Span | None:
    """That of the request, while it lasts: tasks that outlive it still know it."""
    span = _PRESENT.get()
    return span if span is not None and span.is_recording() else None


def _enter(span: Span | None) -> None:
    _PRESENT.set(span)
    TRACE_ID.set(format_trace_id(span.get_span_context().trace_id) if span else None)


@contextmanager
def _presently(span: Span, *, ends: bool = True) -> Iterator[Span]:
    _enter(span)
    try:
        yield span
    except BaseException as error:
        _fail(span, type(error).__name__)
        raise
    finally:
        _enter(None)
        if ends and span.is_recording():
            span.end()


def _above(scope: Scope) -> Above | None:
    """The client's trace, by W3C's Trace Context; None where it has none."""
    given: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _W3C:
            given.setdefault(name.decode(), []).append(value.decode("latin-1"))
    above = _w3c.extract(given, _NONE) if "traceparent" in given else _NONE
    return above or None  # empty, where it is not well-formed


def _note_response(span: Span, message: Message) -> None:
    span.set_attribute("http.response.status_code", message["status"])
    if message["status"] >= 500:
        _fail(span, str(message["status"]))
    if any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"]):
        span.end()  # a stream's answers are traced by themselves


@lru_cache(maxsize=256)
def _told(system: str, sql: str) -> tuple[str, dict[str, str]]:
    """A statement in two words, such as SELECT events, and its attributes."""
    does, table = _DOES.search(sql), _TABLE.search(sql)
    summary = f"{does[0]} {table[1]}" if does and table else sql.split(maxsplit=1)[0]
    return summary, {"db.system.name": system, "db.query.summary": summary, "db.query.text": sql[:LONGEST_SQL]}


def _fail(span: Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)
