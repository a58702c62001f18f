"""What uvicorn's log of requests may say of an address: its path, without what opens somebody's calendar, and nothing
of its query string, where clients put documents with passwords in them, and tokens. Our own loggers write no address.

Nor may anybody fill it: what a client gets wrong is told ten times a second at most, and without a traceback; that a
WebSocket was opened, refused or closed, where requests are told too. web/connections.py counts the former.
"""

import logging
import re

from calendars.links import ROOT
from web.log import Allowance

WRONG_A_SECOND = 10
_LOGGERS = ("uvicorn.access", "uvicorn.error")  # the second tells of the handshakes of WebSockets
# Also of an address that was percent-encoded once too often, and what follows a "#", which no client should send.
_QUERY = re.compile(r"(?:\?|%3F|%23).*", re.DOTALL)
# All but an event's, whatever else is wrong with the address; a proxy may double a slash.
_CALENDAR = re.compile(rf"({ROOT}/+(?:(?:account|\d+)/+(?:[0-9a-fA-F-]{{1,36}}/+)?)?)(?!event/).+")
# In an address that was spoiled on its way a secret may stand anywhere: keys and tokens are long, names of ours not.
_LONG = re.compile(r"/(?![0-9a-f]{8}-[0-9a-f-]{27}(?:\.ics)?(?:/|$))[^/]{24,}")

# In uvicorn's words. It calls the last an error, and closes the WebSocket with 1007, as it should.
_WRONG = {
    "Invalid HTTP request received.",
    "Unsupported upgrade request.",
    "Invalid UTF-8 sequence received from client.",
}
# In uvicorn's words, and in those of websockets.
_OF_SOCKETS = re.compile(r'%s - "WebSocket %s"|connection (open|closed|rejected)|HTTP response sent \(')
_allowance = Allowance(WRONG_A_SECOND)
_ours = logging.getLogger("planner")  # has the level of LOG_LEVEL; uvicorn's is never lower than info


def keep_small_and_clean() -> None:
    """Doing it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide_secrets)
        logging.getLogger(name).addFilter(_is_told)


def _hide_secrets(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_told(arg) if isinstance(arg, str) else arg for arg in record.args)
    return True


def _is_told(record: logging.LogRecord) -> bool:
    if record.msg in _WRONG:
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
        return _ours.isEnabledFor(logging.WARNING) and _allowance.take()
    return _ours.isEnabledFor(logging.DEBUG) or not _OF_SOCKETS.match(str(record.msg))


def _told(address: str) -> str:
    return _LONG.sub("/...", _CALENDAR.sub(r"\1...", _QUERY.sub("", address)))
