"""A GraphQL client of the standard library alone, since a running planner has no other. One serves one thread."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 120
TIMEOUT_SECONDS = 30
_LATER = frozenset({"UNAVAILABLE", "RATE_LIMITED"})  # nothing was done: asking again is safe


class Fault(Exception):
    """No answer, or one with an error."""


@dataclass(frozen=True)
class Answer:
    """`sent` and `answered` are seconds of this machine's steady clock."""

    data: dict[str, Any]
    sent: float
    answered: float


class Client:
    """`url` is the server's address; /graphql is added. `asked` counts the requests, `put_off` those among them that
    were told to come later, and did."""

    def __init__(self, url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        self._path = f"{parts.path.rstrip('/').removesuffix('/graphql')}/graphql"
        self._sleep = sleep
        self.token: str | None = None
        self.asked = self.put_off = 0

    def connect(self) -> None:
        """A new connection, before it is needed. Raises Fault."""
        self.close()
        try:
            self._connection.connect()
        except OSError as error:
            raise Fault(f"No connection: {error}.") from error

    def close(self) -> None:
        self._connection.close()

    def ask(self, document: str, **variables: Any) -> Answer:
        """Waits and asks again where the server says so. Raises Fault."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            sent = time.monotonic()
            body = self._post({"query": document, "variables": variables})
            answered = time.monotonic()
            self.asked += 1
            errors = body.get("errors") or []
            if not errors:
                return Answer(body.get("data") or {}, sent, answered)
            extensions = errors[0].get("extensions") or {}
            wait = float(extensions.get("retryAfter") or 1)
            if extensions.get("code") not in _LATER or answered + wait > give_up:
                raise Fault(f"{extensions.get('code')}: {errors[0].get('message')}")
            self.put_off += 1
            self.close()  # the server would, while nothing is said
            self._sleep(wait)

    def _post(self, request: dict[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/json", "accept": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        try:
            self._connection.request("POST", self._path, json.dumps(request), headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            self.close()  # else its half-done request would answer for the next one
            raise Fault(f"No answer: {type(error).__name__} {error}".strip()) from error
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Fault(f"Not a GraphQL answer: status {response.status} {response.reason}.")
        return body
