"""A process in whose PYTHONPATH this folder is has a clock of its own: fast by the seconds that the file holds which
MOVED_CLOCK names, at each moment. Python imports a module of this name before any other.

`time.monotonic` stays: the system's does so too when somebody sets the clock.
"""

import ctypes
import gc
import os
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path

_file = Path(os.environ["MOVED_CLOCK"])
_time, _time_ns = time.time, time.time_ns


def _seconds() -> float:
    return float(_file.read_text() or 0)


def _now(_: type[datetime], tz: tzinfo | None = None) -> datetime:
    return datetime.fromtimestamp(time.time(), tz)


def _utcnow(_: type[datetime]) -> datetime:
    return datetime.fromtimestamp(time.time(), UTC).replace(tzinfo=None)


time.time = lambda: _time() + _seconds()
time.time_ns = lambda: _time_ns() + round(_seconds() * 1e9)
# Into the type itself: drivers and libraries look at what type a value has, so a class of its own would not do.
_members = gc.get_referents(datetime.__dict__)[0]
_members["now"], _members["utcnow"] = classmethod(_now), classmethod(_utcnow)
ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
