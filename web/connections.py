"""Connections whose client sends too slowly, reads too slowly, or sends without end. All that ends one for it, while a
request's head comes in and once an answer is written, is in this file; a body is web/graphql.py's. How much of what was
sent is taken in before others have their turn is web/intake.py's.

uvicorn bounds neither. What is timed here costs a request nothing: once a second all connections are looked at, by what
uvicorn knows of each anyway. See docs/decisions/0022-connections.md.
"""

import asyncio
from typing import Any

from prometheus_client import Counter
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame

from web.intake import Intake

HEAD_SECONDS = 10
UNREAD_SECONDS = 30
LEAST_READ = 65_536  # bytes of a long answer in so many seconds, 17 kbit/s: a byte now and then is not reading
MOST_HEAD_BYTES = 65_536
MOST_HEADERS = 256  # as many as come in one piece
LOOKED_AT_ONCE = 1_000  # connections: 1 to 2 ms of the loop
SMALL_FRAME = 125  # bytes: what control frames may have
MOST_SMALL_FRAMES = 1_000  # a second, that carry no message: 15 ms of the core; clients ping once in some seconds
LATE, LONG, UNREAD, FLOOD, FULL = "late", "long", "unread", "flood", "full"
LOOKS = {LATE: HEAD_SECONDS, UNREAD: UNREAD_SECONDS}
ANSWERS = {
    LATE: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    LONG: b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
}
BAD_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

CLOSED = Counter("planner_connections_closed", "Connections that the server closed for what their client did.", ["why"])
for _why in (LATE, LONG, UNREAD, FLOOD, FULL):
    CLOSED.labels(_why)  # at 0, so that the first one is an increase
HTTP, UPGRADE, WEBSOCKET = "http", "upgrade", "websocket"
MALFORMED = Counter("planner_requests_malformed", "What clients sent that is no request, or no message.", ["kind"])
for _kind in (HTTP, UPGRADE, WEBSOCKET):
    MALFORMED.labels(_kind)


class _Connection(Intake):
    waited_for: tuple[str, object] | None = None  # at the last look
    looks = 0  # at which it was the same
    _pauses = 0

    def pause_writing(self) -> None:
        self._pauses += 1
        super().pause_writing()

    @property
    def is_paused(self) -> bool:
        raise NotImplementedError

    def waits_for(self) -> tuple[str, object] | None:
        """What the client has to do next, with something that is another as soon as it has."""
        if not self.is_paused:  # what else is unread is less than 64 kB
            return None
        return UNREAD, (self._pauses, self.transport.get_write_buffer_size() // LEAST_READ)

    def end(self, why: str) -> None:
        CLOSED.labels(why).inc()
        self.transport.abort()  # close() would wait for what is unread


class HttpConnection(_Connection, HttpToolsProtocol):
    most = 0  # connections, with this one
    _answering: RequestResponseCycle | None = None
    _going_on: Any = None  # the scope of a request that came in pieces
    _octets = 0  # of it, of a head or of what else is no body, such as trailers; the first piece's are not counted

    @property
    def is_paused(self) -> bool:
        return self.flow.write_paused

    @property
    def _wants_a_head(self) -> bool:
        cycle = self.cycle  # the last request whose head came whole
        return cycle is None or cycle.response_complete or cycle.scope is not self.scope

    def waits_for(self) -> tuple[str, object] | None:
        if unread := super().waits_for():
            return unread
        # uvicorn closes a kept connection after 5 s, but no longer once a byte has come, were it only a line's end.
        return (LATE, self.cycle) if self._wants_a_head and not self.flow.read_paused else None

    @property
    def is_full(self) -> bool:
        # A body that is more than uvicorn wants for now is taken all the same: as rest it would be here as well.
        return bool(self.pipeline if self.has_rest else self.flow.read_paused)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = _Flow(self)
        if len(self.connections) > self.most:
            self.end(FULL)

    def send_400_response(self, msg: str) -> None:
        MALFORMED.labels(HTTP).inc()
        super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        MALFORMED.labels(UPGRADE).inc()
        super()._unsupported_upgrade_warning()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answering:  # else uvicorn tells the last of several requests that came at once, which waits its turn
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def take(self, piece: bytes) -> None:
        scope = self.scope
        HttpToolsProtocol.data_received(self, piece)
        if self.scope is scope:  # no other request has begun
            self._goes_on(len(piece))

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            raise ValueError("RFC 9112 §3.2: one Host")  # uvicorn answers 400 to what stops its parser
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self.drop_rest()  # frames that did not wait for the handshake
        super().handle_websocket_upgrade()

    def _goes_on(self, octets: int) -> None:
        is_body = not self._wants_a_head and self.cycle.message_event.is_set()
        before = self._octets if self._going_on is self.scope else 0
        self._octets, self._going_on = 0 if is_body else before + octets, self.scope
        is_long = self._octets > MOST_HEAD_BYTES or len(self.headers or ()) > MOST_HEADERS
        if is_long and not self.transport.is_closing():
            self.end(LONG)

    def end(self, why: str) -> None:
        is_answered = self.cycle is None or self.cycle.response_complete
        has_begun = self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)
        if why in ANSWERS and is_answered and has_begun:
            CLOSED.labels(why).inc()
            self.transport.write(ANSWERS[why])
            self.transport.close()
        else:
            super().end(why)


class _Flow(FlowControl):
    """Does not read on while requests that came at once wait for their turn: uvicorn would after each answer."""

    def __init__(self, connection: HttpConnection) -> None:
        super().__init__(connection.transport)
        self._connection = connection

    def resume_reading(self) -> None:
        if not self.read_paused or self._connection.pipeline:
            return
        if self._connection.has_rest:
            self.read_paused = False
            self._connection.go_on()
        else:
            super().resume_reading()


class SocketConnection(_Connection, WebSocketsSansIOProtocol):
    """For what web/websocket.py does not see. How long it waits to be initialised and read is its own."""

    _small_frames = 0  # in the second that began at
    _second = 0.0

    @property
    def is_paused(self) -> bool:
        return not self.writable.is_set()

    def handle_parser_exception(self) -> None:
        MALFORMED.labels(WEBSOCKET).inc()
        super().handle_parser_exception()

    @property
    def is_full(self) -> bool:
        return bool(self.read_paused)  # until what came is taken

    def take(self, piece: bytes) -> None:
        WebSocketsSansIOProtocol.data_received(self, piece)
        if self.conn.handshake_exc and not self.transport.is_closing():  # what uvicorn would leave open
            if answer := b"".join(self.conn.data_to_send()):  # 431 or 414: more than 128 headers, or 8 kB of one
                CLOSED.labels(LONG).inc()
            self.transport.write(answer or BAD_HANDSHAKE)
            self.transport.close()

    async def receive(self) -> Any:
        message = await super().receive()
        if self.has_rest and not self.is_full:
            self.go_on()
        return message

    def handle_ping(self) -> None:
        if self._is_flooded():
            return
        if self.is_paused:
            self.conn.data_to_send()  # and drop it: uvicorn would keep a pong for each ping, 15 MB a second
        else:
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if not self._is_flooded():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if len(event.data) > SMALL_FRAME or not self._is_flooded():
            super().handle_cont(event)

    def _is_flooded(self) -> bool:
        now = self.loop.time()
        if now >= self._second + 1:
            self._second, self._small_frames = now, 0
        self._small_frames += 1
        if self._small_frames > MOST_SMALL_FRAMES and not self.transport.is_closing():
            self.conn.fail(CloseCode.POLICY_VIOLATION, "Too many small frames.")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            CLOSED.labels(FLOOD).inc()
            self.transport.close()
        return self._small_frames > MOST_SMALL_FRAMES


class Patience:
    """With the connections of one server, of which there are `most` at once. uvicorn asks it for each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._connections: set[Any] = set()

    def connection(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **loop: Any) -> Any:
        self._connections = server_state.connections
        connection = HttpConnection(config, server_state, app_state, **loop)
        connection.most = self._most
        return connection

    async def look(self) -> None:
        """Once a second. Looks are counted, not seconds: a server that stood still must not blame its clients."""
        for number, connection in enumerate([*self._connections], 1):
            if connection not in self._connections:  # it went, or became a WebSocket, while others had the loop
                continue
            if (waits_for := connection.waits_for()) != connection.waited_for:
                connection.waited_for, connection.looks = waits_for, 0
            elif waits_for is not None:
                connection.looks += 1
                if connection.looks == LOOKS[waits_for[0]]:  # once, though its end may take another while
                    connection.end(waits_for[0])
            if not number % LOOKED_AT_ONCE:
                await asyncio.sleep(0)
