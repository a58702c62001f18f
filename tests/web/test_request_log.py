import logging
from collections.abc import Iterator

import pytest

from web import request_log
from web.request_log import WRONG_A_SECOND

ACCESS, ERROR = logging.getLogger("uvicorn.access"), logging.getLogger("uvicorn.error")


@pytest.fixture(autouse=True)
def _listening(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """To uvicorn's loggers themselves, whether or not they hand on what they are told."""
    request_log.keep_small_and_clean()
    caplog.set_level("DEBUG", "planner")
    for logger in (ACCESS, ERROR):
        logger.addHandler(caplog.handler)
        caplog.set_level("INFO", logger.name)
    yield
    for logger in (ACCESS, ERROR):
        logger.removeHandler(caplog.handler)


EVENT = "/calendars/event/01a21018-ba1b-7baf-aafd-6672927d63c3.ics"
ADDRESSES = {
    "/graphql": "/graphql",
    "/graphql?query={me{id}}": "/graphql",
    "/graphql?": "/graphql",
    "/graphql?a=1?token=hush": "/graphql",
    "/graphql?a\nb=hush": "/graphql",
    "/graphql%3Ftoken=hush": "/graphql",
    "/graphql%23token%3Dhush": "/graphql",
    "/calendars/account/42/hush.ics": "/calendars/account/42/...",
    "/calendars/account/42/hush.ics?hush": "/calendars/account/42/...",
    "/calendars//account//42//hush.ics": "/calendars//account//42//...",
    "/calendars/1/42/hush.ics": "/calendars/1/42/...",
    "/below/calendars/account/42/hush.ics": "/below/calendars/account/42/...",
    "/calendars/event/42.ics": "/calendars/event/42.ics",
    "/calendars/1/hush.ics": "/calendars/1/...",
    "/calendars/account/hush.ics": "/calendars/account/...",
    "/calendars/account/42/hush/hush.ics": "/calendars/account/42/...",
    "/calendars/hush.ics": "/calendars/...",
    "/kalendars/account/42/hush-hush-hush-hush-hush-hush.ics": "/kalendars/account/42/...",
    EVENT: EVENT,
}


@pytest.mark.parametrize(("address", "told"), ADDRESSES.items())
def test_an_address_is_logged_without_what_is_secret(caplog: pytest.LogCaptureFixture, address: str, told: str) -> None:
    # As uvicorn says them, of requests and of handshakes.
    ACCESS.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:9", "GET", address, "1.1", 200)
    ERROR.info('%s - "WebSocket %s" [accepted]', "127.0.0.1:9", address)

    assert [*dict.fromkeys(caplog.messages)] == [
        f'127.0.0.1:9 - "GET {told} HTTP/1.1" 200',
        f'127.0.0.1:9 - "WebSocket {told}" [accepted]',
    ]


def test_the_rest_of_the_log_is_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    ERROR.info("Is the door open?")
    ERROR.info("Started server process [%d]", 42)

    assert [*dict.fromkeys(caplog.messages)] == ["Is the door open?", "Started server process [42]"]


OF_SOCKETS = [
    ('%s - "WebSocket %s" [accepted]', "127.0.0.1:9", "/graphql"),
    ('%s - "WebSocket %s" 403', "127.0.0.1:9", "/graphql"),
    ("connection open",),
    ("connection closed",),
    ("connection rejected (%d %s)", 403, "Forbidden"),
]


@pytest.mark.parametrize(("level", "told"), [("INFO", 0), ("DEBUG", len(OF_SOCKETS))])
def test_opening_a_socket_is_told_where_requests_are(caplog: pytest.LogCaptureFixture, level: str, told: int) -> None:
    caplog.set_level(level, "planner")
    for said in OF_SOCKETS:
        ERROR.info(*said)

    assert len(dict.fromkeys(caplog.messages)) == told


@pytest.mark.parametrize(("level", "told"), [("INFO", WRONG_A_SECOND), ("ERROR", 0)])
def test_what_clients_get_wrong_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, level: str, told: int
) -> None:
    caplog.set_level(level, "planner")
    caplog.handler.setLevel("INFO")  # which caplog sets, too
    for second in (7.0, 8.0):
        monkeypatch.setattr("web.log.time.monotonic", lambda second=second: second)
        before = len(caplog.records)
        for _ in range(10):
            ERROR.warning("Invalid HTTP request received.")
            ERROR.warning("Unsupported upgrade request.")
            ERROR.error("Invalid UTF-8 sequence received from client.", exc_info=RuntimeError("no text"))
        records = {id(one): one for one in caplog.records[before:]}.values()
        assert len(records) == told
        assert {(one.levelname, one.exc_info) for one in records} <= {("WARNING", None)}
