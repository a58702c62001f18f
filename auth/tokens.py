"""Access tokens: signed and verified here, and nowhere else. JWT (RFC 7519) in the profile of RFC 9068.

python-jose is kept behind this file. It checks the signature; what it leaves open (type, times, required claims) is
checked here, and whatever it raises means an invalid token.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from jose import jwk, jws

from errors import TokenExpired, TokenInvalid
from settings import Settings

ALGORITHM = "HS256"
TYPE = "at+jwt"
LONGEST = 2_048
LEEWAY_SECONDS = 30  # two servers' clocks may differ by as much
# python-jose also reads base64 with padding, and with characters in between that are none of it.
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Claims:
    """What a verified token says: whose it is, and of which session. Both are UUIDs, as text."""

    user_id: str
    session_id: str
    expires_at: int


class AccessTokens:
    def __init__(self, settings: Settings) -> None:
        secret = settings.secret_key.encode()
        # Built once: it spares every verification a third of its time.
        self._key = jwk.construct(secret, ALGORITHM)
        self._key_id = base64.urlsafe_b64encode(hashlib.sha256(b"kid" + secret).digest()[:9]).decode()
        self._life = timedelta(minutes=settings.access_token_minutes)
        self._issuer, self._audience = settings.token_issuer, settings.token_audience

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
        return jws.sign(claims, self._key, headers={"typ": TYPE, "kid": self._key_id}, algorithm=ALGORITHM), expires_at

    def verify(self, token: str, now: datetime) -> Claims:
        """Raises TokenInvalid, and TokenExpired for one that was valid once."""
        try:
            claims = self._read(token)
            sub, sid = str(UUID(claims["sub"])), str(UUID(claims["sid"]))
            iat, nbf, exp = (_seconds(claims[name]) for name in ("iat", "nbf", "exp"))
            known = claims["iss"] == self._issuer and claims["aud"] == self._audience and isinstance(claims["jti"], str)
        except Exception:
            raise TokenInvalid from None
        seconds = now.timestamp()
        if not known or max(iat, nbf) > seconds + LEEWAY_SECONDS:
            raise TokenInvalid
        if exp + LEEWAY_SECONDS <= seconds:
            raise TokenExpired
        return Claims(sub, sid, exp)

    def _read(self, token: str) -> dict[str, Any]:
        if len(token) > LONGEST or not _FORM.fullmatch(token):
            raise TokenInvalid
        header = jws.get_unverified_header(token)
        # crit names extensions that must be understood (RFC 7515 §4.1.11), and none is. jku, jwk and x5u are not looked
        # at: the key is ours. The algorithm is fixed below, whatever the header says.
        if header.get("typ") != TYPE or header.get("kid") != self._key_id or "crit" in header:
            raise TokenInvalid
        claims: dict[str, Any] = json.loads(jws.verify(token, self._key, algorithms=[ALGORITHM]))
        return claims


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a NumericDate of ours is a whole number")
    return value
