"""A collector of traces, in a thread of the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class _Received(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        if self.path != "/v1/traces":
            self.send_error(404)
            return
        batch = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        assert self.headers["content-type"] == "application/x-protobuf"
        self.server.batches.append(batch)  # type: ignore[attr-defined]  # see collecting
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def collecting(port: int | None = 0) -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector: its address, and what it was sent so far."""
    batches: list[ExportTraceServiceRequest] = []
    with ThreadingHTTPServer(("127.0.0.1", port or 0), _Received) as server:
        server.batches = batches  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", batches
        finally:
            server.shutdown()
            thread.join()
