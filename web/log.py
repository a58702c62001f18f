"""The log's form where it is JSON, and the line of an operation.

Our own loggers and uvicorn's write the same form. What each says of requests holds no document, no variable and no
query string (web/request_log.py); here, an operation is no more than its name, its codes and its time.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson

from errors import ErrorCode
from executor import Operation
from schema.context import Context

FAULTS = frozenset({ErrorCode.INTERNAL.value, ErrorCode.UNAVAILABLE.value})
FAULTS_A_SECOND = 10  # that are told whatever the share: a database that is away must not fill the disk
LONGEST_NAME = 64  # characters of an operation's name: a document may have one of a megabyte

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
log = logging.getLogger("planner.request")


class JsonLines(logging.Formatter):
    """A JSON object a line: `time`, `level`, `logger` and `event`; `request`, its id, where the line was written for
    one; the facts that came with it; `trace`, of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        facts: Mapping[str, Any] = getattr(record, "facts", {})
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": facts["event"] if facts else record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request"] = request_id
        line |= facts
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return _dumped(line)


def _dumped(line: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except orjson.JSONEncodeError:  # half of a surrogate pair, which UTF-8 has no bytes for
        return orjson.dumps({name: _encodable(str(value)) for name, value in line.items()}).decode()


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


class Requests:
    """Tells of this share of all operations, taken by chance, and of every fault of the server's."""

    def __init__(self, share: float = 0) -> None:
        self._share, self._chance = share, Random()  # noqa: S311 - a sample
        self._second, self._faults = 0, 0

    @property
    def are_sampled(self) -> bool:
        return self._share > 0

    def ran(self, operation: Operation | None, context: Context, seconds: float, codes: Sequence[str]) -> None:
        """An operation that has ended; None stands for one of a document that is not valid, or asks for too much."""
        if self._wants(codes):
            name, kind = operation.label if operation else (None, None)
            _tell(
                codes,
                request=context.request_id,
                operation=name[:LONGEST_NAME] if name else None,
                kind=kind,
                ms=round(seconds * 1000, 1),
                account=_account(context),
            )

    def refused(self, request_id: str, status: int) -> None:
        """That was no GraphQL request."""
        if self._wants(()):
            _tell([ErrorCode.BAD_REQUEST], request=request_id, status=status)

    def _wants(self, codes: Sequence[str]) -> bool:
        if self.are_sampled and self._chance.random() < self._share:
            return True
        return bool(codes) and not FAULTS.isdisjoint(codes) and self._has_room()

    def _has_room(self) -> bool:
        if (now := int(time.monotonic())) != self._second:
            self._second, self._faults = now, 0
        self._faults += 1
        return self._faults <= FAULTS_A_SECOND


def _tell(codes: Sequence[str], **given: object) -> None:
    """In logfmt, or where the log is in JSON, as its members; what is None is left out."""
    facts: dict[str, object] = {"event": "request"}
    facts |= {name: value for name, value in given.items() if value is not None}
    if codes:
        facts["codes"] = ",".join(dict.fromkeys(codes))  # each once: one document may fail in a hundred places
    level = logging.INFO if FAULTS.isdisjoint(codes) else logging.WARNING
    log.log(level, " ".join(f"{name}={value}" for name, value in facts.items()), extra={"facts": facts})


def _account(context: Context) -> str | None:
    """The viewer's, where the operation wanted to know it."""
    with suppress(Exception):  # whatever kept it from being known was told the client
        if viewer := context.known_viewer:
            return viewer.id
    return None
