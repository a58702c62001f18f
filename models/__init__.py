"""What is stored, and what may happen to it: the tables with their rules."""

from models.clashes import Span, clashes
from models.database import (
    TORTOISE_ORM,
    DatabaseUnreachable,
    ask_database,
    close_database,
    is_on_sqlite,
    open_database,
)
from models.event import Event, EventStatus
from models.event_input import EventInput
from models.event_list import EventList, EventOrder, EventOrderField, OrderDirection
from models.filters import EventFilter, Mine
from models.forget import forget
from models.migrating import migrate, pending_migrations
from models.pages import Page, PageRequest
from models.place import KnownPlace
from models.rows import NO_ROWS, Row, Rows
from models.rsvp import Rsvp, RsvpList, RsvpStatus
from models.session import Session
from models.tags import EventTag, tag_counts
from models.user import User
from models.writes import takes_writes

__all__ = [
    "NO_ROWS",
    "TORTOISE_ORM",
    "DatabaseUnreachable",
    "Event",
    "EventFilter",
    "EventInput",
    "EventList",
    "EventOrder",
    "EventOrderField",
    "EventStatus",
    "EventTag",
    "KnownPlace",
    "Mine",
    "OrderDirection",
    "Page",
    "PageRequest",
    "Row",
    "Rows",
    "Rsvp",
    "RsvpList",
    "RsvpStatus",
    "Session",
    "Span",
    "User",
    "ask_database",
    "clashes",
    "close_database",
    "forget",
    "is_on_sqlite",
    "migrate",
    "open_database",
    "pending_migrations",
    "tag_counts",
    "takes_writes",
]
