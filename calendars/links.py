"""The addresses of calendars: a list's filter and search turned into one, and back.

An event's address is public and holds its id. A list's holds the filter and search themselves, signed: so a server
keeps no table of them, and what it reads was checked once. What depends on who asks holds a secret: an account's own
feed its calendar key, a list with `mine` a signature that this key takes part in. A new key ends both.

Calendar programs keep an address for years. So a version, once given out, is read for ever as it was: a change of what
stands in an address is a new version beside it.
"""

import hmac
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from copy import copy
from dataclasses import replace
from typing import Self

import orjson

from errors import NotFound, ValidationFailed
from models.filters import EventFilter
from models.text import URL_LONGEST
from settings import Settings

ROOT = "/calendars"
VERSION = "1"
_SIGNATURE_BYTES = 16


class Links:
    def __init__(self, settings: Settings) -> None:
        # A key of its own: no signature of ours is good elsewhere, and none from elsewhere is good here.
        self._key = hmac.digest(settings.secret_key.encode(), b"planner calendar addresses", "sha256")
        self._public_url = self._base = settings.public_url

    def below(self, url: str) -> Self:
        """The same, for a client that reached the server under this address; PUBLIC_URL, where set, knows better."""
        one = copy(self)
        scheme, separator, rest = url.rstrip("/").partition("://")
        # A subscription comes by ws:// or wss://, and asks for a calendar all the same.
        one._base = self._public_url or f"{scheme.replace('ws', 'http')}{separator}{rest}"
        return one

    def event(self, event_id: str) -> str:
        return f"{self._base}{ROOT}/event/{event_id}.ics"

    def account(self, user_id: str, calendar_key: str) -> str:
        """Secret: what the account organises and attends."""
        return f"{self._base}{ROOT}/account/{user_id}/{calendar_key}.ics"

    def list(self, filter: EventFilter | None, search: str | None, calendar_key: str | None = None) -> str:
        """A filter with `mine` needs its viewer's calendar key, and its address is secret.

        Raises ValidationFailed where so much is asked for that it fits no address.
        """
        filter = filter or EventFilter()
        owner, key = (filter.viewer_id or "", calendar_key or "") if filter.mine else ("", "")
        if filter.mine and not (owner and key):
            raise ValueError("a list of somebody's own events needs their id and calendar key")
        said = {"filter": replace(filter, viewer_id=None).as_json(), "search": search}
        raw = zlib.compress(orjson.dumps(said), level=9, wbits=-zlib.MAX_WBITS)
        token = _written(self._signature(raw, owner, key) + raw)
        address = f"{self._base}{ROOT}/{VERSION}/{f'{owner}/' if owner else ''}{token}.ics"
        if len(address) > URL_LONGEST:
            raise ValidationFailed(
                {
                    "filter": f"makes a calendar's address of {len(address)} characters; it has at most"
                    f" {URL_LONGEST}. Name fewer tags, search for less, or do without icsUrl."
                }
            )
        return address

    def read_list(self, token: str, owner: str = "", calendar_key: str = "") -> tuple[EventFilter, str | None]:
        """The filter and search of an address of version 1, from its last part; with an owner, of a secret one.

        Raises NotFound on what was not made by `list` with the same keys.
        """
        try:
            octets = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            signature, raw = octets[:_SIGNATURE_BYTES], octets[_SIGNATURE_BYTES:]
            right = self._signature(raw, owner, calendar_key)
            # base64 is also read with other last bits, and with foreign characters in between: that is altered too.
            if hmac.compare_digest(signature, right) and token == _written(octets):
                said = orjson.loads(zlib.decompress(raw, wbits=-zlib.MAX_WBITS))
                return replace(EventFilter.from_json(said["filter"]), viewer_id=owner or None), said["search"]
        except (ValueError, TypeError, KeyError):
            pass  # no base64; or what a later release signed, and this one does not know
        raise NotFound("calendar")

    def _signature(self, raw: bytes, owner: str, calendar_key: str) -> bytes:
        message = "\0".join(("list", VERSION, owner, calendar_key, "")).encode() + raw
        return hmac.digest(self._key, message, "sha256")[:_SIGNATURE_BYTES]


def _written(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")
