"""A client's connection: uvicorn's, but that the request which runs is told when it is lost.

uvicorn tells the one that came last. Of several that came in a row (pipelined), that one has not begun, and the one
that ran failed as it wrote its answer, with a traceback in the log for whoever likes to fill it.
"""

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class Pipelining(HttpToolsProtocol):
    _running: RequestResponseCycle | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._running and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
