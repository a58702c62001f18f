"""Access tokens: signed and verified here, and nowhere else. JWT (RFC 7519) in the profile of RFC 9068.

python-jose is kept behind this file and auth/keys.py. It checks the signature; what it leaves open (type, times,
required claims) is checked here, and whatever it raises means an invalid token.
"""

import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from jose import jws

from auth.keys import Keys
from errors import TokenExpired, TokenInvalid
from settings import Settings

TYPE = "at+jwt"
LONGEST = 2_048
LEEWAY_SECONDS = 30  # two servers' clocks may differ by as much
MOST_KNOWN = 2_000  # tokens that were verified, at some 700 bytes each
# python-jose also reads base64 with padding, and with characters in between that are none of it.
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def longest_life(settings: Settings) -> timedelta:
    """How long after its signing a token can be good."""
    return timedelta(minutes=settings.access_token_minutes, seconds=LEEWAY_SECONDS)


@dataclass(frozen=True)
class Claims:
    """What a verified token says: whose it is, and of which session, both UUIDs, as text; and when it was signed and
    expires, in seconds since 1970."""

    user_id: str
    session_id: str
    issued_at: int
    expires_at: int


class _Verified(NamedTuple):
    """What does not change about a token that we signed."""

    claims: Claims
    begins_at: int  # seconds since 1970


class AccessTokens:
    def __init__(self, settings: Settings) -> None:
        self.keys = Keys(settings)
        self._life = timedelta(minutes=settings.access_token_minutes)
        self._issuer, self._audience = settings.token_issuer, settings.token_audience
        # Of the tokens that were verified by the present keys. To verify one takes 45 us; browsers send one and the
        # same for minutes. Whether it is in its time, and its session not ended, is asked each time all the same.
        self._known: OrderedDict[str, _Verified] = OrderedDict()
        self._known_by = self.keys.ring

    def issue(self, *, user_id: str, session_id: str, now: datetime) -> tuple[str, datetime]:
        """A token and the instant at which it expires."""
        issued = int(now.timestamp())
        expires_at = now.replace(microsecond=0) + self._life
        claims = {
            "sub": user_id,
            "sid": session_id,
            "iat": issued,
            "nbf": issued,
            "exp": int(expires_at.timestamp()),
            "iss": self._issuer,
            "aud": self._audience,
            "jti": str(uuid4()),
        }
        key = self.keys.ring.signing
        return jws.sign(claims, key.signer, headers={"typ": TYPE, "kid": key.kid}, algorithm=key.algorithm), expires_at

    def verify(self, token: str, now: datetime) -> Claims:
        """Raises TokenInvalid, and TokenExpired for one that was valid once."""
        verified, seconds = self._verified(token), now.timestamp()
        if verified.begins_at > seconds + LEEWAY_SECONDS:
            raise TokenInvalid
        if verified.claims.expires_at + LEEWAY_SECONDS <= seconds:
            raise TokenExpired
        return verified.claims

    def _verified(self, token: str) -> "_Verified":
        if self._known_by is not self.keys.ring:
            self._known.clear()
            self._known_by = self.keys.ring
        known = self._known.get(token)
        if known is None:
            try:
                known = self._known[token] = self._checked(self._read(token))
            except Exception:
                raise TokenInvalid from None
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    def _checked(self, claims: dict[str, Any]) -> "_Verified":
        sub, sid = str(UUID(claims["sub"])), str(UUID(claims["sid"]))
        iat, nbf, exp = (_seconds(claims[name]) for name in ("iat", "nbf", "exp"))
        if not (claims["iss"] == self._issuer and claims["aud"] == self._audience and isinstance(claims["jti"], str)):
            raise TokenInvalid
        return _Verified(Claims(sub, sid, iat, exp), max(iat, nbf))

    def _read(self, token: str) -> dict[str, Any]:
        if len(token) > LONGEST or not _FORM.fullmatch(token):
            raise TokenInvalid
        header = jws.get_unverified_header(token)
        # crit names extensions that must be understood (RFC 7515 §4.1.11), and none is. jku, jwk, x5u and x5c are not
        # looked at: the key is one of ours, and the algorithm is that key's, whatever the header says.
        key = self.keys.ring.find(header["kid"])
        if header.get("typ") != TYPE or key is None or "crit" in header:
            raise TokenInvalid
        claims: dict[str, Any] = json.loads(jws.verify(token, key.verifier, algorithms=[key.algorithm]))
        return claims


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a NumericDate of ours is a whole number")
    return value
