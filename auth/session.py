"""Sessions: one starts at each sign-in, and everything a signed-in request may do hangs on its row."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import models
from auth.tokens import AccessTokens, Claims
from errors import TokenRevoked
from settings import Settings


@dataclass(frozen=True)
class Viewer:
    """The signed-in account."""

    id: str
    email: str
    username: str
    created_at: datetime


@dataclass(frozen=True, repr=False)  # a repr ends in logs
class Tokens:
    """What a client gets of a session. The refresh token is told this once: only its hash is kept."""

    access_token: str
    expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime


class Sessions:
    def __init__(self, settings: Settings) -> None:
        self.access_tokens = AccessTokens(settings)
        self._refresh_life = timedelta(days=settings.refresh_token_days)

    async def start(self, user_id: UUID, now: datetime) -> Tokens:
        """A new session of the account, which exists."""
        refresh_token = secrets.token_urlsafe(32)
        session = await models.Session.create(
            user_id=user_id,
            refresh_hash=hashlib.sha256(refresh_token.encode()).hexdigest(),
            refresh_expires_at=now + self._refresh_life,
            created_at=now,
        )
        access_token, expires_at = self.access_tokens.issue(user_id=str(user_id), session_id=str(session.id), now=now)
        return Tokens(access_token, expires_at, refresh_token, session.refresh_expires_at)

    async def viewer(self, claims: Claims) -> Viewer:
        """Whose session it is. Raises TokenRevoked where the session has ended or the account is gone."""
        row = await models.Session.viewer(claims.session_id, claims.user_id)
        if row is None:
            raise TokenRevoked
        return Viewer(**row)
