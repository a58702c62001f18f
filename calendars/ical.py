"""RFC 5545 text of events: a pure function, without clock, settings or database, so that equal events are equal bytes.

Text is written whatever it holds: what would end a line or a value is escaped, and the control characters that the
grammar of TEXT has no place for are left out (§3.3.11). Instants are in UTC: see docs/decisions/0012-calendars.md.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

# What `event` reads of an event: the names of its fields.
READS = (
    "id",
    "title",
    "image",
    "description",
    "tags",
    "location",
    "starts_at",
    "ends_at",
    "status",
    "version",
    "created_at",
    "updated_at",
)
# Raise it with each change of what is written: readers who ask whether they have the newest are sent it anew.
EDITION = 1
REFRESH = "PT1H"  # how often a calendar program is asked to look
LINE_LONGEST = 75  # octets without the line's end (§3.1)

_CONTROLS = {number: None for number in (*range(0x20), 0x7F) if number != ord("\t")}
_TEXT = str.maketrans({**_CONTROLS, "\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})
_URI = ":/?#[]@!$&'()*+,;=%"  # beside letters, digits and -._~ (RFC 3986 §2)
_STATUSES = {"SCHEDULED": "CONFIRMED", "CANCELLED": "CANCELLED"}
# A calendar has at least one component (§3.6), and some programs refuse one that has none: so an empty one says what
# its times would be in.
_NOTHING = """\
BEGIN:VTIMEZONE
TZID:UTC
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:+0000
TZOFFSETTO:+0000
END:STANDARD
END:VTIMEZONE
"""


async def calendar(name: str, chunks: AsyncIterable[Iterable[Mapping[str, Any]]]) -> AsyncIterator[bytes]:
    """The calendar of that name, piece by piece: its beginning, the events of each chunk, its end."""
    yield _lines(
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Planner//Planner//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"NAME:{_text(name)}",  # RFC 7986 §5.1; the programs that do not know it know the next one
        f"X-WR-CALNAME:{_text(name)}",
        f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}",  # RFC 7986 §5.7, and the same for those before it
        f"X-PUBLISHED-TTL:{REFRESH}",
    )
    empty = True
    async for chunk in chunks:
        if text := b"".join(map(event, chunk)):
            empty = False
            yield text
    yield (_lines(*_NOTHING.splitlines()) if empty else b"") + b"END:VCALENDAR\r\n"


def event(row: Mapping[str, Any]) -> bytes:
    """The event as a VEVENT; nothing where it has no start.

    No ORGANIZER: it would have to be an e-mail address, and belongs to invitations (§3.8.4.3).
    """
    if row["starts_at"] is None:
        return b""
    starts, ends = _instant(row["starts_at"]), row["ends_at"] and _instant(row["ends_at"])
    lines = [
        "BEGIN:VEVENT",
        f"UID:{row['id']}",  # a UUID alone is unique in the world, whatever the server's name (RFC 7986 §5.3)
        f"SEQUENCE:{row['version']}",
        f"DTSTAMP:{_instant(row['updated_at'])}",  # not the time of asking: see the module's law
        f"CREATED:{_instant(row['created_at'])}",
        f"LAST-MODIFIED:{_instant(row['updated_at'])}",
        f"DTSTART:{starts}",
    ]
    if ends and ends > starts:  # to the second, as it is written (§3.8.2.2). Without an end it takes no time (§3.6.1).
        lines.append(f"DTEND:{ends}")
    lines += [f"STATUS:{_STATUSES[row['status']]}", f"SUMMARY:{_text(row['title'])}"]
    if row["description"]:
        lines.append(f"DESCRIPTION:{_text(row['description'])}")
    if row["location"]:
        lines.append(f"LOCATION:{_text(row['location'])}")
    if row["tags"]:
        lines.append(f"CATEGORIES:{','.join(map(_text, row['tags']))}")
    if row["image"]:
        lines.append(f"IMAGE;VALUE=URI:{quote(row['image'], safe=_URI)}")  # RFC 7986 §5.10
    return _lines(*lines, "END:VEVENT")


def _text(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n").translate(_TEXT)


def _instant(value: datetime) -> str:
    # Not by strftime, which writes the year 999 in three digits.
    return value.astimezone(UTC).isoformat()[:19].replace("-", "").replace(":", "") + "Z"


def _lines(*lines: str) -> bytes:
    return b"".join(map(_folded, lines))


def _folded(line: str) -> bytes:
    """The line with its end, in pieces of at most 75 octets, none of which divides a character."""
    octets = line.encode(errors="replace")  # half a surrogate pair is no character
    pieces = []
    start, room = 0, LINE_LONGEST
    while len(octets) - start > room:
        end = start + room
        while octets[end] & 0xC0 == 0x80:  # amid a character
            end -= 1
        pieces.append(octets[start:end])
        start, room = end, LINE_LONGEST - 1  # the blank that the next piece begins with counts
    pieces.append(octets[start:])
    return b"\r\n ".join(pieces) + b"\r\n"
