"""What is stored, and what may happen to it: the tables with their rules."""

from models.database import (
    TORTOISE_ORM,
    DatabaseUnreachable,
    ask_database,
    close_database,
    open_database,
)
from models.event import Event, EventInput, EventList
from models.migrating import migrate, pending_migrations
from models.pages import Page, PageRequest
from models.reads import Row
from models.session import Session
from models.tags import EventTag, tag_counts
from models.user import User

__all__ = [
    "TORTOISE_ORM",
    "DatabaseUnreachable",
    "Event",
    "EventInput",
    "EventList",
    "EventTag",
    "Page",
    "PageRequest",
    "Row",
    "Session",
    "User",
    "ask_database",
    "close_database",
    "migrate",
    "open_database",
    "pending_migrations",
    "tag_counts",
]
