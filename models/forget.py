"""An account deleted, with all that was its own."""

from datetime import datetime
from uuid import UUID

from tortoise.expressions import Q

from models.changes import told_transaction
from models.event import Event
from models.rsvp import Rsvp, RsvpStatus
from models.session import Session
from models.user import User


async def forget(user_id: UUID, session_id: UUID, password_hash: str, now: datetime) -> bool:
    """In one transaction: the user's events go, with notices to listeners; the user's seats go to the first in line;
    and with the account its sessions and keys. False, and nothing is changed, where the session has ended or the
    password is another one by now."""
    while True:
        try:
            await _forget(user_id, session_id, password_hash, now)
            return True
        except _NotAnyMore:
            return False
        except _CameMeanwhile:
            continue


class _CameMeanwhile(Exception):
    """An event or a place that the user's other request made while this one was at work: all is begun again."""


class _NotAnyMore(Exception):
    """Whoever asked may no longer."""


async def _forget(user_id: UUID, session_id: UUID, password_hash: str, now: datetime) -> None:
    # Of no event: to wait for a turn at one while it holds another's row would keep up whoever waits for that. It holds
    # one connection, and nobody forgets the same account twice.
    async with told_transaction() as told:
        # Events first, in one order whoever comes, and the user's row last: as whoever takes a place locks them. Two
        # that go at once, or one that goes while another comes, would else wait for each other in a circle.
        for event_id in await _concerned(user_id):
            event = await Event.filter(id=event_id).select_for_update().get_or_none()
            if event is None:
                continue  # deleted meanwhile
            if event.creator_id == user_id:
                await event.go(told)
            else:
                await Rsvp.leave(event, user_id, told, now)
        # From here on nobody makes an event or takes a place in this user's name.
        user = await User.filter(id=user_id).select_for_update().get_or_none()
        if user is None or user.password_hash != password_hash or not await Session.exists(id=session_id):
            raise _NotAnyMore
        if await _concerned(user_id):
            raise _CameMeanwhile
        await User.filter(id=user_id).delete()


async def _concerned(user_id: UUID) -> list[UUID]:
    """The events that the user publishes or holds a place at, in the order of their ids."""
    held = await Rsvp.filter(~Q(status=RsvpStatus.CANCELLED), user_id=user_id)
    published = await Event.filter(creator_id=user_id).only("id")
    return sorted({*(place.event_id for place in held), *(event.id for event in published)})
