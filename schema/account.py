"""Accounts: signing up, signing in, and the signed-in user's own view."""

from typing import Self

import strawberry

from auth import Tokens, Viewer
from errors import Refusal, Unavailable
from schema.context import Info
from schema.event import User
from schema.scalars import DateTime


@strawberry.type(description="The signed-in user's own view: what is private lives here, so that User cannot leak it.")
class Account:
    id: strawberry.ID
    email: str
    username: str
    created_at: DateTime

    @strawberry.field
    def profile(self) -> User:
        return User.of({"id": self.id, "username": self.username})

    @classmethod
    def of(cls, viewer: Viewer) -> Self:
        return cls(**vars(viewer))


@strawberry.type
class AuthPayload:
    access_token: str = strawberry.field(description="A JWT: send it as Authorization: Bearer ...")
    token_type: str
    expires_at: DateTime
    refresh_token: str
    refresh_expires_at: DateTime
    account: Account

    @classmethod
    def of(cls, viewer: Viewer, tokens: Tokens) -> Self:
        return cls(token_type="Bearer", account=Account.of(viewer), **vars(tokens))  # noqa: S106 - no password


@strawberry.input
class SignupInput:
    email: str
    password: str
    username: str


@strawberry.input
class SigninInput:
    email: str
    password: str


@strawberry.type
class AccountQuery:
    @strawberry.field(description="The signed-in account; null where nobody is signed in.")
    async def me(self, info: Info) -> Account | None:
        try:
            return Account.of(await info.context.viewer())
        except Unavailable:
            raise
        except Refusal:
            return None  # no token, or one that no longer is: nobody is signed in


@strawberry.type
class AccountMutation:
    @strawberry.mutation(description="Makes an account, and signs it in.")
    async def signup(self, info: Info, input: SignupInput) -> AuthPayload | None:
        context = info.context
        return AuthPayload.of(*await context.accounts.sign_up(**vars(input), now=context.now))

    @strawberry.mutation(description="Never says which of e-mail and password is wrong.")
    async def signin(self, info: Info, input: SigninInput) -> AuthPayload | None:
        context = info.context
        return AuthPayload.of(*await context.accounts.sign_in(**vars(input), now=context.now))
