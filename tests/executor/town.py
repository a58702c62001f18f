"""A few people with their events, for documents that ask of what there is."""

from datetime import UTC, datetime, timedelta
from typing import Any

from auth import Accounts
from calendars.links import Links
from executor import Executor, Limits
from replicas.memory import Memory
from schema import AS_READ, schema
from schema.context import Context
from schema.live import Live
from settings import Settings
from tests.executor.invented_documents import Values
from web.caller import Caller

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NAMES = ("ana", "ben", "cleo")


class Town:
    """Ana, Ben and Cleo, who are signed in, and the executor that they ask. The database is open, and empty."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._accounts, self._live, self._links = Accounts(settings), Live(Memory()), Links(settings)
        self._tokens: list[str] = []
        self.executor = Executor(schema._schema, limits, AS_READ)

    def context(self, who: int | None) -> Context:
        return Context(
            accounts=self._accounts,
            live=self._live,
            links=self._links,
            caller=Caller(authorization=None if who is None else f"Bearer {self._tokens[who]}"),
            clock=lambda: NOW,
            request_id="1",
        )

    async def fill(self) -> Values:
        """Signs everybody up and makes their events. The values that make something of a document's arguments."""
        for name in NAMES:
            account = {"username": name, "email": f"{name}@test.com", "password": "correct-horse-battery-7"}
            made = await self._does(
                None, "signup(input: $input) { accessToken }", "$input: SignupInput!", input=account
            )
            self._tokens.append(made["accessToken"])
        events = [await self._publishes(number) for number in range(6)]
        for event, guest in ((0, 1), (0, 2), (1, 0), (2, 1), (3, 2), (4, 0)):
            await self._does(guest, f'rsvp(eventId: "{events[event]}") {{ id }}')
        await self._does(2, f'cancelEvent(id: "{events[5]}") {{ id }}')
        page = "query { events(first: 2) { pageInfo { endCursor } } me { id } }"
        read = (await self.executor.execute(page, context=self.context(0))).data
        assert read is not None
        return {
            "id": (*events, "nobody"),
            "creator": (read["me"]["id"], "nobody"),
            "username": ("ana", "Ben", "nobody"),
            "first": (2, 1, 3, 20, 5, 100, 0),
            "after": (read["events"]["pageInfo"]["endCursor"], "no cursor"),
            "search": ("talk", "1", "", "rust"),
            "tagsAny": ("rust", "Go"),
            "tagsAll": ("rust", "go"),
            "startsWith": ("", "r", "x"),
            "location": ("Hall", ""),
            "name": ("Event", "EventFilter", "RsvpStatus", "Nothing"),
            "DateTime": ("2026-06-03T00:00:00Z", "2020-01-01T00:00:00+02:00", "never"),
        }

    async def _publishes(self, number: int) -> str:
        starts_at = NOW + timedelta(hours=number)
        event = {
            "title": f"Talk {number}",
            "description": "Of rust" if number % 2 else "",
            "tags": ["rust", "go"][: number % 3],
            "location": "Hall" if number % 2 else "",
            "image": "https://example.com/a.png" if number % 3 else None,
            "capacity": 1 if number < 2 else None,
        }
        if number:
            ends_at = starts_at + timedelta(hours=2)
            event |= {"startsAt": starts_at.isoformat(), "endsAt": ends_at.isoformat(), "timeZone": "Europe/Berlin"}
        said = "createEvent(input: $input) { id }", "$input: CreateEventInput!"
        made = await self._does(number % 3, *said, input=event)
        return str(made["id"])

    async def _does(self, who: int | None, field: str, declared: str = "", **variables: Any) -> Any:
        text = f"mutation {f'({declared})' if declared else ''} {{ done: {field} }}"
        result = await self.executor.execute(text, variables, context=self.context(who))
        assert not result.errors, result.errors
        assert result.data is not None
        return result.data["done"]
