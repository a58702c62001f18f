"""Where traces are sent: to a collector, by OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp).

OpenTelemetry's own exporter brings five packages more, is told by the environment where to send and as whom, and tries
one batch again for as long as it takes to give up on it, also when the server is to stop. Here a batch is sent once.
"""

import logging
import ssl
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from web.metrics import SPANS_LOST

SEND_SECONDS = 2  # to connect, and to answer: a collector is near
PAUSE_SECONDS = 5  # after a batch that was not taken, so that the queue runs full of no more than it can hold
PATH = "/v1/traces"

log = logging.getLogger("planner.traces")


class Collector(SpanExporter):
    """At this address, below which /v1/traces takes spans."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + PATH
        self._parts = urlsplit(self.url)
        self._tls = ssl.create_default_context() if self._parts.scheme == "https" else None
        self._problem: str | None = None
        self._pause_ends = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """By the thread of the queue, so it may wait. A problem is logged once, however long it lasts."""
        if time.monotonic() >= self._pause_ends:
            self._note(self.refuses(encode_spans(spans).SerializeToString()))
        if self._problem is None:
            return SpanExportResult.SUCCESS
        SPANS_LOST.inc(len(spans))
        return SpanExportResult.FAILURE

    def _note(self, problem: str | None) -> None:
        if problem and not self._problem:
            log.warning("traces are lost: %s takes none: %s", self.url, problem)
        if self._problem and not problem:
            log.info("traces are taken again at %s", self.url)
        self._problem = problem
        if problem:
            self._pause_ends = time.monotonic() + PAUSE_SECONDS

    def refuses(self, batch: bytes = b"") -> str | None:
        """Why it does not take a batch, of which the empty one says nothing; None where it does."""
        with closing(self._connection()) as connection:
            try:
                connection.request("POST", self._parts.path, batch, {"content-type": "application/x-protobuf"})
                status = connection.getresponse().status
            except (OSError, HTTPException) as error:
                return str(error) or type(error).__name__
        return None if status == 200 else f"it answers {status}"

    def _connection(self) -> HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls:
            return HTTPSConnection(host, port or 443, timeout=SEND_SECONDS, context=self._tls)
        return HTTPConnection(host, port or 80, timeout=SEND_SECONDS)
