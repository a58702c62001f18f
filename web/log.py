"""The one form of all lines of the log, whoever writes them, and the line of an operation.

Everything is said by the standard library's loggers, as uvicorn and asyncio do; structlog writes it down. What is said
of requests holds no document, no variable and no query string (web/request_log.py); here, an operation is no more than
its name, its codes and its time.
"""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal
from uuid import UUID

import orjson
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import JSONRenderer, UnicodeDecoder, UnicodeEncoder, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from errors import ErrorCode
from executor import Operation
from schema.context import Context

FAULTS = frozenset({ErrorCode.INTERNAL.value, ErrorCode.UNAVAILABLE.value})
FAULTS_A_SECOND = 10  # that are told whatever the share: a database that is away must not fill the disk
LONGEST_NAME = 64  # characters of an operation's name: a document may have one of a megabyte

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
TRACE_ID: ContextVar[str | None] = ContextVar("trace_id", default=None)  # where the request is traced
log = logging.getLogger("planner.request")


def formatter(form: Literal["text", "json"]) -> logging.Formatter:
    """Of lines for a terminal, or of a JSON object a line. docs/monitoring.md names what is in them."""
    return ProcessorFormatter(
        foreign_pre_chain=[_add_time, add_log_level, add_logger_name, _add_request, _add_facts],
        processors=[ProcessorFormatter.remove_processors_meta, *(_as_json() if form == "json" else _as_text())],
    )


def _add_time(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    # Of the record, which structlog's TimeStamper does not look at.
    line["time"] = datetime.fromtimestamp(line["_record"].created, UTC).isoformat(timespec="milliseconds")
    return line


def _add_request(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    if request_id := REQUEST_ID.get():
        line["request"] = request_id
    if trace_id := TRACE_ID.get():
        line["trace_id"] = trace_id
    return line


def _add_facts(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    # Not all that is `extra`, as structlog's ExtraAdder would: websockets puts its connection there.
    facts = getattr(line["_record"], "facts", {})
    # An id is text, whether it was read from a row or from a token.
    line.update({name: str(fact) if isinstance(fact, UUID) else fact for name, fact in facts.items()})
    return line


def _as_json() -> list[Processor]:
    # Half of a surrogate pair is one that UTF-8 has no bytes for: it is encoded with a backslash, and decoded.
    encodable: list[Processor] = [UnicodeEncoder("utf-8", "backslashreplace"), UnicodeDecoder("utf-8")]
    return [format_exc_info, _name_the_trace, *encodable, JSONRenderer(_dumped)]


def _name_the_trace(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    if trace := line.pop("exception", None):
        line["trace"] = trace
    return line


def _dumped(line: EventDict, default: Callable[[object], Any]) -> str:
    return orjson.dumps(line, default).decode()


def _as_text() -> list[Processor]:
    return [
        ConsoleRenderer(
            colors=sys.stderr.isatty(),
            timestamp_key="time",
            pad_event_to=0,
            sort_keys=False,
            # By default it is rich's, where that is installed, which tells each frame's variables: passwords, tokens.
            exception_formatter=plain_traceback,
        )
    ]


class Allowance:
    """So many in a second, and no more."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._second, self._taken = 0, 0

    def take(self) -> bool:
        """Whether there was one left."""
        if (now := int(time.monotonic())) != self._second:
            self._second, self._taken = now, 0
        self._taken += 1
        return self._taken <= self._a_second


class Requests:
    """Tells of this share of all operations, taken by chance, and of every fault of the server's."""

    def __init__(self, share: float = 0) -> None:
        self._share, self._chance = share, Random()  # noqa: S311 - a sample
        self._faults = Allowance(FAULTS_A_SECOND)

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
                account=account_of(context),
            )

    def refused(self, request_id: str, status: int) -> None:
        """That was no GraphQL request."""
        if self._wants(()):
            _tell([ErrorCode.BAD_REQUEST], request=request_id, status=status)

    def _wants(self, codes: Sequence[str]) -> bool:
        if self.are_sampled and self._chance.random() < self._share:
            return True
        return bool(codes) and not FAULTS.isdisjoint(codes) and self._faults.take()


def _tell(codes: Sequence[str], **given: object) -> None:
    """What is None is left out."""
    facts = {name: value for name, value in given.items() if value is not None}
    if codes:
        facts["codes"] = ",".join(dict.fromkeys(codes))  # each once: one document may fail in a hundred places
    level = logging.INFO if FAULTS.isdisjoint(codes) else logging.WARNING
    log.log(level, "request", extra={"facts": facts})


def account_of(context: Context) -> str | None:
    """The viewer's, where the operation wanted to know it."""
    with suppress(Exception):  # whatever kept it from being known was told the client
        if viewer := context.known_viewer:
            return viewer.id
    return None
