"""Accounts: signing up and signing in."""

from datetime import datetime

from email_validator import EmailNotValidError, validate_email
from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.transactions import in_transaction

import models
from auth.passwords import Passwords, weakness
from auth.session import Sessions, Tokens, Viewer
from errors import EmailTaken, InvalidCredentials, UsernameTaken, ValidationFailed
from models.text import UNSEEN, Unfit, fit, fold, refuse_unstorable
from models.user import EMAIL_LONGEST, USERNAME_KEY_LONGEST, USERNAME_LONGEST
from settings import Settings


class Accounts:
    """Usable from a script: `await Accounts(settings).sign_up(...)` needs an open database and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self.passwords = Passwords(settings)
        self.sessions = Sessions(settings)
        self._password_shortest = settings.password_min_length

    async def sign_up(self, email: str, password: str, username: str, *, now: datetime) -> tuple[Viewer, Tokens]:
        """Raises ValidationFailed, EmailTaken, UsernameTaken, Unavailable."""
        email, username = self._checked(email, password, username)
        await _refuse_taken(email, username)  # before the costly hash
        password_hash = await self.passwords.hash(password)
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
                tokens = await self.sessions.start(user.id, now)
        except IntegrityError:
            await _refuse_taken(email, username)  # somebody else took it while the password was hashed
            raise
        return Viewer(str(user.id), user.email, user.username, user.created_at), tokens

    async def sign_in(self, email: str, password: str, *, now: datetime) -> tuple[Viewer, Tokens]:
        """Raises InvalidCredentials, Unavailable."""
        user = await _user_by_email(email)
        matches, new_hash = await self.passwords.verify(password, user.password_hash if user else None)
        if user is None or not matches:
            raise InvalidCredentials
        async with in_transaction():
            if new_hash:
                # Only over the hash that was verified: a password changed meanwhile stays changed.
                old = models.User.filter(id=user.id, password_hash=user.password_hash)
                await old.update(password_hash=new_hash)
            try:
                tokens = await self.sessions.start(user.id, now)
            except IntegrityError:
                raise InvalidCredentials from None  # the account was deleted meanwhile
        return Viewer(str(user.id), user.email, user.username, user.created_at), tokens

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


async def _user_by_email(email: str) -> models.User | None:
    try:
        return await models.User.get_or_none(email_key=email_key(email))
    except Unfit:
        return None  # nobody can have it


async def _refuse_taken(email: str, username: str) -> None:
    # In one statement: between two, who signs up twice at once could be told that the username alone is taken.
    of_email = email_key(email)
    holders = models.User.filter(Q(email_key=of_email) | Q(username_key=fold(username)))
    taken = [row["email_key"] for row in await holders.values("email_key")]
    if of_email in taken:
        raise EmailTaken
    if taken:
        raise UsernameTaken
