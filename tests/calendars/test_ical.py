"""What is written is read back by the icalendar package, and obeys RFC 5545 also where programs are less strict."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calendars import ical

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
AN_EVENT: dict[str, Any] = {
    "id": ID,
    "title": "A talk",
    "image": None,
    "description": "",
    "tags": [],
    "location": "",
    "starts_at": NOON,
    "ends_at": None,
    "status": "SCHEDULED",
    "version": 1,
    "created_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "updated_at": datetime(2026, 6, 7, 8, 9, 10, 999_999, tzinfo=UTC),
}


def event(**said: Any) -> dict[str, Any]:
    return {**AN_EVENT, **said}


def written(*chunks: list[dict[str, Any]], name: str = "Planner") -> bytes:
    async def streamed() -> AsyncIterator[list[dict[str, Any]]]:
        for chunk in chunks:
            yield chunk

    async def whole() -> bytes:
        return b"".join([piece async for piece in ical.calendar(name, streamed())])

    return asyncio.run(whole())


def lines(**said: Any) -> list[str]:
    """The event's lines, unfolded."""
    return ical.event(event(**said)).decode().replace("\r\n ", "").split("\r\n")


def read(**said: Any) -> icalendar.Event:
    """The event as icalendar reads it."""
    calendar = icalendar.Calendar.from_ical(written([event(**said)]))
    (only,) = calendar.events
    assert calendar.errors == only.errors == []
    return only


def kept(text: str) -> str:
    """What of a text can stand in a calendar: every line break as one, and no control character but the tab."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", re.sub(r"\r\n?", "\n", text))


def test_a_calendar_to_the_letter() -> None:
    said = event(title="Ünïcode, twice; 모임", description="a\\b\r\nc", tags=["파이썬", "a,b"], location="Seoul",
                 image="https://example.org/ü.png?a=1,2", ends_at=NOON + timedelta(hours=1), version=7)  # fmt: skip

    assert written([said], name="Planner: 모임").decode() == "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//Planner//Planner//EN",
            "CALSCALE:GREGORIAN",
            "METHOD:PUBLISH",
            "NAME:Planner: 모임",
            "X-WR-CALNAME:Planner: 모임",
            "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
            "X-PUBLISHED-TTL:PT1H",
            "BEGIN:VEVENT",
            f"UID:{ID}",
            "SEQUENCE:7",
            "DTSTAMP:20260607T080910Z",
            "CREATED:20260102T030405Z",
            "LAST-MODIFIED:20260607T080910Z",
            "DTSTART:20261201T120000Z",
            "DTEND:20261201T130000Z",
            "STATUS:CONFIRMED",
            "SUMMARY:Ünïcode\\, twice\\; 모임",
            "DESCRIPTION:a\\\\b\\nc",
            "LOCATION:Seoul",
            "CATEGORIES:파이썬,a\\,b",
            "IMAGE;VALUE=URI:https://example.org/%C3%BC.png?a=1,2",
            "END:VEVENT",
            "END:VCALENDAR",
            "",
        ]
    )


def test_a_cancelled_event_says_so() -> None:
    assert read(status="CANCELLED")["status"] == "CANCELLED"
    assert read(status="SCHEDULED")["status"] == "CONFIRMED"


def test_what_is_not_there_has_no_line() -> None:
    names = {re.split("[:;]", line)[0] for line in lines() if line}

    assert names == {"BEGIN", "UID", "SEQUENCE", "DTSTAMP", "CREATED", "LAST-MODIFIED", "DTSTART", "STATUS", "SUMMARY",
                     "END"}  # fmt: skip


def test_an_event_without_a_start_is_left_out() -> None:
    assert ical.event(event(starts_at=None)) == b""


def test_an_event_without_an_end_takes_no_time() -> None:
    only = read()

    assert "dtend" not in only
    assert only.end - only.start == timedelta(0)


def test_an_end_in_the_same_second_is_no_end() -> None:
    assert "dtend" not in read(ends_at=NOON + timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        (datetime(2026, 12, 1, 19, tzinfo=timezone(timedelta(hours=9))), "20261201T100000Z"),
        (datetime(999, 1, 1, tzinfo=UTC), "09990101T000000Z"),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "99991231T235959Z"),
    ],
)
def test_instants_are_in_utc(instant: datetime, shown: str) -> None:
    assert f"DTSTART:{shown}" in lines(starts_at=instant)


@pytest.mark.parametrize("chunks", [[], [[]], [[event(starts_at=None)]]], ids=["none", "an empty chunk", "no start"])
def test_an_empty_calendar_has_a_component_all_the_same(chunks: list[list[dict[str, Any]]]) -> None:
    calendar = icalendar.Calendar.from_ical(written(*chunks))

    assert [part.name for part in calendar.subcomponents] == ["VTIMEZONE"]


def test_chunks_make_one_calendar() -> None:
    calendar = icalendar.Calendar.from_ical(written([event(id="1")], [], [event(id="2"), event(id="3")]))

    assert [one["uid"] for one in calendar.events] == ["1", "2", "3"]
    assert [part.name for part in calendar.subcomponents] == ["VEVENT"] * 3


def test_equal_events_are_equal_bytes() -> None:
    assert written([event()]) == written([event()])


@pytest.mark.parametrize("octets", [74, 75, 76, 149, 150, 151, 224])
@pytest.mark.parametrize("character", ["a", "é", "말", "😀"])
def test_lines_are_folded_at_75_octets_between_characters(octets: int, character: str) -> None:
    fill = octets - len("SUMMARY:")
    size = len(character.encode())
    title = "-" * (fill % size) + character * (fill // size)

    folded = ical.event(event(title=title)).split(b"\r\n")
    start = next(number for number, line in enumerate(folded) if line.startswith(b"SUMMARY:"))
    pieces = [folded[start]]
    for line in folded[start + 1 :]:
        if not line.startswith(b" "):
            break
        pieces.append(line)

    assert all(75 - size < len(piece) <= 75 for piece in pieces[:-1])
    assert "".join(piece.decode().removeprefix(" ") for piece in pieces) == f"SUMMARY:{title}"
    assert len(pieces) == 1 if octets <= 75 else len(pieces) > 1


INJECTIONS = [
    "x\r\nATTENDEE:mailto:eve@example.org",
    "x\nEND:VEVENT\nBEGIN:VEVENT",
    "x\rSTATUS:CANCELLED",
    "x\x0bSTATUS:CANCELLED",
    "x\x85STATUS:CANCELLED",
    "x\u2028STATUS:CANCELLED",
    "x\\\nSTATUS:CANCELLED",
    "x\\nSTATUS:CANCELLED",
    '";VALUE=URI:x',
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_text_adds_a_line(text: str) -> None:
    alike = {"title": "x", "description": "x", "location": "x", "tags": ["x"], "image": "https://example.org/"}
    spoilt = {"title": text, "description": text, "location": text, "tags": [text],
              "image": f"https://example.org/{text}"}  # fmt: skip

    assert [line.partition(":")[0].partition(";")[0] for line in lines(**spoilt)] == [
        line.partition(":")[0].partition(";")[0] for line in lines(**alike)
    ]
    assert read(**spoilt)["summary"] == kept(text)


def test_half_a_character_spoils_nothing() -> None:
    assert read(title="a\ud83d b")["summary"] == "a? b"


# What breaks writers of calendars, more often than chance brings it up.
TEXTS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(["\\", ";", ",", ":", '"', "\n", "\r", "\r\n", "\t", " ", "\x00", "\\n", "N", "👩‍👩‍👧", "مرحبا",
                         "\u202e", "한글", "e\u0301", "BEGIN:VEVENT", "x" * 74])
    ).map("".join),
)  # fmt: skip


@given(title=TEXTS, description=TEXTS, location=TEXTS, tags=st.lists(TEXTS.filter(kept), max_size=4))
def test_any_text_comes_back(title: str, description: str, location: str, tags: list[str]) -> None:
    only = read(title=title, description=description, location=location, tags=tags)

    assert only["summary"] == kept(title)
    assert only.get("description", "") == kept(description)
    assert only.get("location", "") == kept(location)
    assert [str(tag) for tag in only.categories] == [kept(tag) for tag in tags]


@given(title=TEXTS, name=TEXTS, tags=st.lists(TEXTS, max_size=3))
def test_every_line_is_one_of_the_rfc(title: str, name: str, tags: list[str]) -> None:
    octets = written([event(title=title, tags=tags)], name=name)

    assert octets.endswith(b"\r\n")
    assert b"\r" not in octets.replace(b"\r\n", b"")
    assert b"\n" not in octets.replace(b"\r\n", b"")
    for line in octets.split(b"\r\n")[:-1]:
        assert 1 <= len(line) <= 75
        assert re.fullmatch(r"(?: |[A-Z-]+[:;])[^\x00-\x08\x0a-\x1f\x7f]*", line.decode())


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001 - zone follows
def test_any_instant_comes_back(naive: datetime, hours: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(hours=hours)))

    assert read(starts_at=instant).start == instant.replace(microsecond=0)
