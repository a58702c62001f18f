"""Accounts and their sessions: signing up, in and out, and the signed-in user's own view."""

from __future__ import annotations

from typing import Self

import strawberry

import models
from auth import Tokens, Viewer
from models import RsvpList, RsvpStatus
from schema.connection import PAGE, page_request
from schema.context import Info
from schema.event import User
from schema.permissions import IsAuthenticated
from schema.rsvp import Rsvp, RsvpConnection
from schema.scalars import URL, DateTime


@strawberry.type(description="The signed-in user's own view: what is private lives here, so that User cannot leak it.")
class Account:
    id: strawberry.ID
    email: str
    username: str
    created_at: DateTime
    session_id: strawberry.Private[str]

    @strawberry.field
    def profile(self) -> User:
        return User.of({"id": self.id, "username": self.username})

    @strawberry.field(
        description="A secret calendar feed of the events that this user organises or attends; rotateCalendarUrl"
        " replaces it, and so does changePassword."
    )
    async def calendar_url(self, info: Info) -> URL:
        return URL(info.context.links.account(self.id, await models.User.calendar_key_of(self.id)))

    @strawberry.field(
        description="Places held at events, changed last first; with a status, those that have it. upcoming leaves out"
        " what is over."
    )
    async def rsvps(
        self,
        info: Info,
        status: RsvpStatus | None = None,
        upcoming: bool | None = True,
        first: int | None = PAGE,
        after: str | None = None,
    ) -> RsvpConnection:
        places = RsvpList.of_user(self.id, status, info.context.now if upcoming else None)
        return await RsvpConnection.of(places, page_request(first, after), info, Rsvp)

    @strawberry.field(description="Where the account is signed in, newest first: the 100 sessions that were used last.")
    async def sessions(self, info: Info) -> list[Session]:
        rows = await models.Session.of_user(self.id, info.context.now)
        return [Session(**row, current=row["id"] == self.session_id) for row in rows]

    @classmethod
    def of(cls, viewer: Viewer) -> Self:
        return cls(**vars(viewer))


@strawberry.type
class Session:
    id: strawberry.ID
    created_at: DateTime
    last_used_at: DateTime
    user_agent: str | None
    current: bool


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


@strawberry.input
class ChangePasswordInput:
    current_password: str
    new_password: str


@strawberry.type
class SignoutPayload:
    sessions_ended: int


@strawberry.type
class DeleteAccountPayload:
    deleted_id: strawberry.ID


@strawberry.type
class AccountQuery:
    @strawberry.field(description="The signed-in account; null where nobody is signed in.")
    async def me(self, info: Info) -> Account | None:
        viewer = await info.context.viewer_if_any()
        return Account.of(viewer) if viewer else None


@strawberry.type
class AccountMutation:
    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="Ends the account's secret calendar addresses, also those of lists with mine, and makes new ones.",
    )
    async def rotate_calendar_url(self, info: Info) -> Account | None:
        viewer = await info.context.viewer()
        await models.User.rotate_calendar_key(viewer.id)
        return Account.of(viewer)

    @strawberry.mutation(description="Makes an account, and signs it in.")
    async def signup(self, info: Info, input: SignupInput) -> AuthPayload | None:
        context = info.context
        return AuthPayload.of(*await context.accounts.sign_up(**vars(input), now=context.now, client=context.client))

    @strawberry.mutation(description="Never says which of e-mail and password is wrong.")
    async def signin(self, info: Info, input: SigninInput) -> AuthPayload | None:
        context = info.context
        return AuthPayload.of(*await context.accounts.sign_in(**vars(input), now=context.now, client=context.client))

    @strawberry.mutation(description="Trades a refresh token for a new pair; one that is used twice ends its session.")
    async def refresh(self, info: Info, refresh_token: str) -> AuthPayload | None:
        context = info.context
        return AuthPayload.of(*await context.accounts.refresh(refresh_token, now=context.now, client=context.client))

    @strawberry.mutation(
        permission_classes=[IsAuthenticated], description="Ends this session, or every session of the account."
    )
    async def signout(self, info: Info, everywhere: bool | None = False) -> SignoutPayload | None:
        viewer, sessions = await info.context.viewer(), info.context.accounts.sessions
        ended = await (sessions.end_all(viewer.id) if everywhere else sessions.end(viewer.session_id))
        return SignoutPayload(sessions_ended=ended)

    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="Ends every other session, and answers with new tokens for this one; calendarUrl is another from"
        " then on.",
    )
    async def change_password(self, info: Info, input: ChangePasswordInput) -> AuthPayload | None:
        viewer, now = await info.context.viewer(), info.context.now
        return AuthPayload.of(
            *await info.context.accounts.change_password(
                viewer, input.current_password, input.new_password, now=now, client=info.context.client
            )
        )

    @strawberry.mutation(
        permission_classes=[IsAuthenticated],
        description="The account goes, with its events; its seats go to the first in line.",
    )
    async def delete_account(self, info: Info, password: str) -> DeleteAccountPayload | None:
        viewer = await info.context.viewer()
        await info.context.accounts.delete_account(viewer, password, now=info.context.now, client=info.context.client)
        return DeleteAccountPayload(deleted_id=strawberry.ID(viewer.id))
