"""Sessions: one starts at each sign-in, and everything a signed-in request may do hangs on its row.

A refresh token is traded once, for the next of its family (RFC 9700 §4.14.2). It has two halves: by the first the
family is found, by the second the token in it. The tokens of the present generation are good. The one that was traded
for them, their parent, is good for GRACE more, since two tabs of a browser may trade the same one, and an answer may
get lost: who trades it again gets a sibling of what came first. Only one of the siblings is ever traded: that makes it
the next parent, and the others old. Any other token of the family shows that two have gone on with what one was given:
the session ends, for the thief and for the owner, who signs in again.
"""

import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from prometheus_client import Counter
from tortoise.exceptions import OperationalError
from tortoise.transactions import in_transaction

import models
from auth import audit
from auth.tokens import AccessTokens, Claims
from errors import RefreshTokenInvalid, SessionEnded, SessionExpired, TokenRevoked, Unavailable
from models.engines.asyncpg import ConnectionLost
from models.session import RefreshToken, Session, kept_user_agent
from settings import Settings

log = logging.getLogger("planner.auth")
REUSED = Counter("planner_refresh_tokens_reused", "Refresh tokens used again after they had been traded.")

GRACE = timedelta(seconds=10)
TOUCHED_EVERY = timedelta(minutes=1)
MOST = 100  # sessions an account; an owner has a few, and a program that signs in again and again is not refused
LONGEST = 100  # characters; a refresh token has 66


@dataclass(frozen=True)
class Viewer:
    """The signed-in account, and the session that it speaks in."""

    id: str
    email: str
    username: str
    created_at: datetime
    session_id: str


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
        self._idle = timedelta(days=settings.refresh_token_days)
        self._longest = timedelta(days=settings.session_days)

    async def start(self, user_id: UUID, now: datetime, user_agent: str | None = None) -> tuple[str, Tokens]:
        """A new session of the account, which exists: its id and tokens. Where it has more than MOST, those that were
        not used for longest end. Part of the caller's transaction, in which the account's row is held: else two that
        start at once would each count without the other."""
        await Session.clear(now)
        family = secrets.token_urlsafe(16)
        session = await Session.create(
            user_id=user_id,
            refresh_hash=_hash(family),
            rotated_at=now,
            refresh_expires_at=now + min(self._idle, self._longest),
            created_at=now,
            last_used_at=now,
            user_agent=kept_user_agent(user_agent),
        )
        await Session.keep_beside(session, MOST - 1)
        return str(session.id), await self._tokens(session, family, 1, session.refresh_expires_at, now)

    async def refresh(self, token: str, now: datetime) -> tuple[Viewer, Tokens]:
        """The next tokens of the session. Raises RefreshTokenInvalid, SessionExpired, SessionEnded."""
        family, secret = _halves(token)
        async with in_transaction():
            tokens = None
            while tokens is None:
                known = await RefreshToken.known(_hash(family), _hash(secret))
                if known is None:
                    raise RefreshTokenInvalid  # made up, or of a session that has ended
                session, generation = known
                if session.refresh_expires_at <= now:
                    raise SessionExpired
                if generation is None or not self._is_good(session, generation, now):
                    break
                tokens = await self._trade(session, token, generation, now)
            row = await Session.viewer(str(session.id), str(session.user_id), now) if tokens else None
        if tokens is None or row is None:
            if await Session.end("id = ?", session.id):
                _tell_of_reuse(session)
                raise SessionEnded
            # Another use ended it, and was told so. To this one the family is as unknown as to all that come later, so
            # that what is told does not hang on who looked first.
            raise RefreshTokenInvalid
        return _viewer(row), tokens

    @staticmethod
    def _is_good(session: Session, generation: int, now: datetime) -> bool:
        is_parent = generation == session.generation - 1
        return generation == session.generation or (is_parent and now - session.rotated_at <= GRACE)

    async def _trade(self, session: Session, token: str, generation: int, now: datetime) -> Tokens | None:
        """None where the session has turned meanwhile: then it must be looked at again."""
        expires_at = min(now + self._idle, session.created_at + self._longest)
        turns = int(generation == session.generation)  # a sibling's turn is over already
        times = {"rotated_at": now} if turns else {}
        if not await Session.turn(
            session.id, session.generation, by=turns, refresh_expires_at=expires_at, last_used_at=now, **times
        ):
            return None
        family, secret = _halves(token)
        if turns:
            await RefreshToken.forget_but(session.id, _hash(secret))
        return await self._tokens(session, family, session.generation + turns, expires_at, now)

    async def _tokens(
        self, session: Session, family: str, generation: int, expires_at: datetime, now: datetime
    ) -> Tokens:
        secret = secrets.token_urlsafe(32)
        await RefreshToken.give(session.id, _hash(secret), generation)
        access_token, access_expires_at = self.access_tokens.issue(
            user_id=str(session.user_id), session_id=str(session.id), now=now
        )
        return Tokens(access_token, access_expires_at, f"{family}.{secret}", expires_at)

    async def viewer(self, claims: Claims, now: datetime) -> Viewer:
        """Whose session it is. Raises TokenRevoked where the session has ended or the account is gone."""
        row = await Session.viewer(claims.session_id, claims.user_id, now)
        if row is None:
            raise TokenRevoked
        if row["last_used_at"] <= now - TOUCHED_EVERY:
            await self._touch(claims.session_id, now)
        return _viewer(row)

    @staticmethod
    async def _touch(session_id: str, now: datetime) -> None:
        try:
            await Session.note_use(session_id, now, unless_since=now - TOUCHED_EVERY)
        except (Unavailable, ConnectionLost, OperationalError) as error:
            # The database takes no writes, is busy with a long one, or went away. What only reads is not to fail for
            # this, and need not know whether it was done; the next request notes it.
            log.debug("the last use of session %s was not noted: %s", session_id, error)

    async def end(self, session_id: str) -> int:
        """How many ended: 0 where it had ended before."""
        return await Session.end("id = ?", UUID(session_id))

    async def end_all(self, user_id: str, *, but: str | None = None) -> int:
        """Ends the account's sessions, but one where that is named: how many ended."""
        if but is None:
            return await Session.end("user_id = ?", UUID(user_id))
        return await Session.end("user_id = ? AND id <> ?", UUID(user_id), UUID(but))

    async def renew(self, session_id: str, now: datetime) -> tuple[str, Tokens] | None:
        """A new session in place of this one, whose tokens, access tokens too, open nothing any more: its id and
        tokens. None where the session has ended. Part of the caller's transaction."""
        session = await Session.filter(id=UUID(session_id)).select_for_update().get_or_none()
        if session is None:
            return None
        await session.delete()
        return await self.start(session.user_id, now, session.user_agent)


def _tell_of_reuse(session: Session) -> None:
    REUSED.inc()
    log.warning("a refresh token was used twice: session %s of account %s ends", session.id, session.user_id)
    audit.note("refresh_reused", account=session.user_id, session=session.id)


def _viewer(row: models.Row) -> Viewer:
    return Viewer(**row["user"], session_id=row["id"])


def _hash(half: str) -> str:
    return hashlib.sha256(half.encode()).hexdigest()


def _halves(token: str) -> tuple[str, str]:
    family, dot, secret = token.partition(".")
    if len(token) > LONGEST or not token.isascii() or not (family and dot and secret):
        raise RefreshTokenInvalid
    return family, secret
