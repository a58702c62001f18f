"""What uvicorn's log of requests may say of an address: its path, without what opens somebody's calendar, and nothing
of its query string, where clients put documents with passwords in them, and tokens. Our own loggers write no address.

Nor does it write a traceback for what a client got wrong.
"""

import logging
import re

from calendars.links import ROOT

_LOGGERS = ("uvicorn.access", "uvicorn.error")  # the second tells of the handshakes of WebSockets
# Also of an address that was percent-encoded once too often, and what follows a "#", which no client should send.
_QUERY = re.compile(r"(?:\?|%3F|%23).*", re.DOTALL)
# All but an event's, whatever else is wrong with the address; a proxy may double a slash.
_CALENDAR = re.compile(rf"({ROOT}/+(?:(?:account|\d+)/+(?:[0-9a-fA-F-]{{1,36}}/+)?)?)(?!event/).+")
# In an address that was spoiled on its way a secret may stand anywhere: keys and tokens are long, names of ours not.
_LONG = re.compile(r"/(?![0-9a-f]{8}-[0-9a-f-]{27}(?:\.ics)?(?:/|$))[^/]{24,}")


def keep_secrets_out() -> None:
    """Doing it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_hide_secrets)
        logging.getLogger(name).addFilter(_belittle_bad_text)


def _hide_secrets(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_told(arg) if isinstance(arg, str) else arg for arg in record.args)
    return True


def _belittle_bad_text(record: logging.LogRecord) -> bool:
    # A WebSocket's text that is not UTF-8: uvicorn closes it with 1007, as it should, and calls that an error.
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError) and "Invalid UTF-8" in record.msg:
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def _told(address: str) -> str:
    return _LONG.sub("/...", _CALENDAR.sub(r"\1...", _QUERY.sub("", address)))
