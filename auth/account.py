"""Accounts: signing up and in, changing the password, deleting. What is tried is counted before it is verified."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.transactions import in_transaction

import models
from auth import audit
from auth.attempts import Attempts, Place
from auth.client import Client
from auth.passwords import Passwords, weakness
from auth.session import Sessions, Tokens, Viewer
from errors import EmailTaken, InvalidCredentials, TokenRevoked, UsernameTaken, ValidationFailed
from models.text import UNSEEN, Unfit, fit, fold, refuse_unstorable
from models.user import EMAIL_LONGEST, USERNAME_KEY_LONGEST, USERNAME_LONGEST, new_calendar_key
from replicas.limits import Rates
from settings import Settings

SCRIPT = Client()


class Accounts:
    """Usable from a script: `await Accounts(settings).sign_up(...)` needs an open database and nothing else."""

    def __init__(self, settings: Settings, rates: Rates | None = None) -> None:
        self._attempts = Attempts(settings, rates or Rates())
        self.passwords = Passwords(settings)
        self.sessions = Sessions(settings)
        self._password_shortest = settings.password_min_length

    async def sign_up(
        self, email: str, password: str, username: str, *, now: datetime, client: Client = SCRIPT
    ) -> tuple[Viewer, Tokens]:
        """Raises ValidationFailed, RateLimited, EmailTaken, UsernameTaken, Unavailable."""
        email, username = self._checked(email, password, username)
        place = await self._attempts.sign_up(email_key(email), client, now)
        await _refuse_taken(email, username)  # before the costly hash
        password_hash = await self.passwords.hash(password, _asker(client))
        try:
            async with in_transaction():
                user = await models.User.create(
                    email=email,
                    email_key=email_key(email),
                    username=username,
                    username_key=fold(username),
                    password_hash=password_hash,
                    created_at=now,
                )
                session_id, tokens = await self.sessions.start(user.id, now, client.user_agent)
                await place.remember(user.id, now)
        except IntegrityError:
            await _refuse_taken(email, username)  # somebody else took it while the password was hashed
            raise
        audit.note("signup", account=user.id, session=session_id, address=client.address)
        return Viewer(str(user.id), user.email, user.username, user.created_at, session_id), tokens

    async def sign_in(
        self, email: str, password: str, *, now: datetime, client: Client = SCRIPT
    ) -> tuple[Viewer, Tokens]:
        """Raises RateLimited, InvalidCredentials, Unavailable."""
        key = _key_if_any(email)
        async with self._attempts.sign_in(key or email, client, now) as place:
            while True:
                user = await models.User.get_or_none(email_key=key) if key else None  # without one, nobody can have it
                kept = user.password_hash if user else None
                matches, new_hash = await self.passwords.verify(password, kept, _asker(client))
                if user is None or not matches:
                    audit.note("signin_refused", account=user.id if user else None, address=client.address)
                    raise InvalidCredentials
                if started := await self._start(user, new_hash, place, client, now):
                    break
        session_id, tokens = started
        audit.note("signin", account=user.id, session=session_id, address=client.address)
        return Viewer(str(user.id), user.email, user.username, user.created_at, session_id), tokens

    async def _start(
        self, user: models.User, new_hash: str | None, place: Place, client: Client, now: datetime
    ) -> tuple[str, Tokens] | None:
        """A session, and the row held while it starts. None where the hash that was verified is no longer the kept one:
        a changed password lets nobody in who typed the one before."""
        async with in_transaction():
            verified = models.User.filter(id=user.id, password_hash=user.password_hash)
            if not await verified.update(password_hash=new_hash or user.password_hash):
                return None
            started = await self.sessions.start(user.id, now, client.user_agent)
            await place.remember(user.id, now)
        return started

    async def refresh(self, token: str, *, now: datetime, client: Client = SCRIPT) -> tuple[Viewer, Tokens]:
        """The next tokens of the session. Raises RateLimited, RefreshTokenInvalid, SessionExpired, SessionEnded."""
        async with self._attempts.refresh(client, now):
            return await self.sessions.refresh(token, now)

    async def change_password(
        self, viewer: Viewer, current: str, new: str, *, now: datetime, client: Client = SCRIPT
    ) -> tuple[Viewer, Tokens]:
        """A new session in place of the viewer's, whose tokens end with it; every other session ends, and so do the
        addresses of the account's secret calendars: who knew the password could read them.

        Raises RateLimited, InvalidCredentials, ValidationFailed on `newPassword`, TokenRevoked, Unavailable.
        """
        user = await self._verified(viewer, current, client, now)
        own_names = (user.email, user.username)
        if problem := weakness(new, shortest=self._password_shortest, own_names=own_names):
            raise ValidationFailed({"newPassword": problem})
        new_hash = await self.passwords.hash(new, _asker(client))
        async with in_transaction():
            # Only over the hash that was verified: of two changes at once, one sees the other's password.
            old = models.User.filter(id=user.id, password_hash=user.password_hash)
            if not await old.update(password_hash=new_hash, calendar_key=new_calendar_key()):
                raise InvalidCredentials
            await self.sessions.end_all(viewer.id, but=viewer.session_id)
            renewed = await self.sessions.renew(viewer.session_id, now)
            if renewed is None:
                raise TokenRevoked  # signed out meanwhile: nothing is changed
        session_id, tokens = renewed
        audit.note("password_changed", account=viewer.id, session=session_id)
        return replace(viewer, session_id=session_id), tokens

    async def delete_account(self, viewer: Viewer, password: str, *, now: datetime, client: Client = SCRIPT) -> None:
        """The account goes, with its events, places and sessions.

        Raises RateLimited, InvalidCredentials, TokenRevoked, Unavailable.
        """
        user = await self._verified(viewer, password, client, now)
        if not await models.forget(user.id, UUID(viewer.session_id), user.password_hash, now):
            raise TokenRevoked  # signed out, or the password changed, meanwhile: nothing is deleted
        audit.note("account_deleted", account=viewer.id, session=viewer.session_id)

    async def _verified(self, viewer: Viewer, password: str, client: Client, now: datetime) -> models.User:
        user = await models.User.get_or_none(id=UUID(viewer.id))
        if user is None:
            raise TokenRevoked
        async with self._attempts.password(viewer.session_id, client, now):
            matches, _ = await self.passwords.verify(password, user.password_hash, _asker(client))
            if not matches:
                audit.note("password_refused", account=viewer.id, session=viewer.session_id)
                raise InvalidCredentials
        return user

    def _checked(self, email: str, password: str, username: str) -> tuple[str, str]:
        wrong: dict[str, str] = {}
        own_names: list[str] = []
        try:
            typed, email = email, _normal_email(email)
            own_names += [typed, email]
        except Unfit as reason:
            wrong["email"] = f"is not an e-mail address: {str(reason).rstrip('.')}."
        try:
            username = fit(username, shortest=1, longest=USERNAME_LONGEST)
            own_names.append(username)
            too_long = len(fold(username)) > USERNAME_KEY_LONGEST
            if not username.isprintable() or UNSEEN.search(username) or too_long:
                raise Unfit("must be of visible characters and plain blanks.")
        except Unfit as reason:
            wrong["username"] = str(reason)
        if problem := weakness(password, shortest=self._password_shortest, own_names=own_names):
            wrong["password"] = problem
        if wrong:
            raise ValidationFailed(wrong)
        return email, username


def _asker(client: Client) -> str:
    """Who shares a place in the line for a hash."""
    return client.network or ""


def email_key(email: str) -> str:
    """What all spellings of one e-mail share: its case, its Unicode form, its domain in letters or in punycode.

    Raises Unfit on what is no e-mail.
    """
    return fold(_normal_email(email))


def _normal_email(email: str) -> str:
    email = email.strip()
    if len(email) > EMAIL_LONGEST:  # before anything looks at it: a megabyte of accents takes seconds to normalise
        raise Unfit("it is too long.")
    refuse_unstorable(email)
    try:
        # test_environment lets .test addresses in; whether mail arrives is not asked, only whether it could.
        normal = validate_email(email, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as reason:
        raise Unfit(str(reason)) from None
    if len(fold(normal)) > EMAIL_LONGEST:  # some letters fold into 18
        raise Unfit("it is too long.")
    return normal


def _key_if_any(email: str) -> str | None:
    try:
        return email_key(email)
    except Unfit:
        return None


async def _refuse_taken(email: str, username: str) -> None:
    # In one statement: between two, who signs up twice at once could be told that the username alone is taken.
    of_email = email_key(email)
    holders = models.User.filter(Q(email_key=of_email) | Q(username_key=fold(username)))
    taken = [row["email_key"] for row in await holders.values("email_key")]
    if of_email in taken:
        raise EmailTaken
    if taken:
        raise UsernameTaken
