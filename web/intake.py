"""How much a connection takes in before others have their turn.

uvloop hands over up to 256 kB at once: of a WebSocket 43,000 empty frames, of HTTP 14,000 requests. Here they are taken
in pieces, and after a millisecond of them the others come first. What waits is no more than that, since nothing is read
meanwhile. See docs/decisions/0022-connections.md.
"""

import asyncio
from time import perf_counter

PIECE = 1_024  # bytes, of which nobody interrupts the parsing: 170 empty frames, or 57 requests
LONGEST_PIECE = 16_384  # where those before it were quickly parsed, as what a long text consists of
QUICK_SECONDS = 0.000_1
TURN_SECONDS = 0.001


class Intake(asyncio.Protocol):
    """Of a connection, which parses each piece (`take`) and says when it wants no more for now (`is_full`)."""

    transport: asyncio.Transport
    _rest = memoryview(b"")
    _has_turn = False  # is called when the others have had theirs

    @property
    def is_full(self) -> bool:
        raise NotImplementedError

    @property
    def has_rest(self) -> bool:
        return bool(self._rest)

    def take(self, piece: bytes) -> None:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if len(data) <= PIECE and not self._rest:
            self.take(data)
        else:
            self._rest = memoryview(bytes(self._rest) + data)
            if not self._has_turn:
                self._take_turn()

    def go_on(self) -> None:
        """With the rest, which was left since the connection was full. Whoever emptied it may have begun to read."""
        if not self.transport.is_closing():
            self.transport.pause_reading()
        if not self._has_turn:
            self._has_turn = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def drop_rest(self) -> None:
        if self._rest:
            self._rest = memoryview(b"")
            self.transport.resume_reading()

    def _take_turn(self) -> None:
        self._has_turn = False
        now, size = perf_counter(), PIECE
        until = now + TURN_SECONDS
        while self._rest and now < until and not self.is_full and not self.transport.is_closing():
            piece, self._rest, begun = bytes(self._rest[:size]), self._rest[size:], now
            self.take(piece)
            now = perf_counter()
            size = min(2 * size, LONGEST_PIECE) if now - begun < QUICK_SECONDS else PIECE
        if self.transport.is_closing():
            self._rest = memoryview(b"")
        elif self._rest and self.is_full:
            self.transport.pause_reading()
        elif self._rest:
            self.go_on()
        elif not self.is_full:
            self.transport.resume_reading()
