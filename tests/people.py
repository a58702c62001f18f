"""People who use the API, for tests that read as use."""

from typing import Any
from uuid import uuid4

import httpx

SIGNUP = """mutation ($input: SignupInput!) { signup(input: $input) {
  accessToken tokenType expiresAt refreshToken refreshExpiresAt
  account { id email username createdAt profile { id username } }
} }"""
SIGNIN = SIGNUP.replace("SignupInput", "SigninInput").replace("signup", "signin")
EVENT = """{
  id title image description tags location creator { id username } startsAt endsAt timeZone status capacity
  confirmedCount waitlistCount seatsLeft version createdAt updatedAt
}"""
CREATE_EVENT = f"mutation ($input: CreateEventInput!) {{ createEvent(input: $input) {EVENT} }}"
UPDATE_EVENT = f"mutation ($id: ID!, $input: UpdateEventInput!) {{ updateEvent(id: $id, input: $input) {EVENT} }}"
PLACE = "{ id status waitlistPosition event { id confirmedCount waitlistCount seatsLeft } user { username } }"
PASSWORD = "correct-말-battery-7"


class Answer:
    """A GraphQL answer. `code` is the code of its one error, None where there is none."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.response = response
        self.body: dict[str, Any] = response.json()

    @property
    def data(self) -> Any:
        assert "errors" not in self.body, self.body
        return self.body["data"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return list(self.body.get("errors", []))

    @property
    def code(self) -> str | None:
        assert len(self.errors) < 2, self.errors
        return self.errors[0]["extensions"]["code"] if self.errors else None

    @property
    def fields(self) -> dict[str, str]:
        assert self.code == "VALIDATION", self.body
        fields: dict[str, str] = self.errors[0]["extensions"]["fields"]
        return fields


class Person:
    """Somebody with a client, and once signed up, with a token."""

    def __init__(self, http: httpx.AsyncClient, name: str | None = None) -> None:
        self.http = http
        self.username = name or f"u{uuid4().hex[:12]}"
        self.email = f"{self.username}@test.com"
        self.token: str | None = None
        self.id = ""

    async def asks(self, query: str, *, authorization: str | None = None, **variables: Any) -> Answer:
        header = authorization or (f"Bearer {self.token}" if self.token else None)
        return Answer(
            await self.http.post(
                "/graphql",
                json={"query": query, "variables": variables},
                headers={"authorization": header} if header else {},
            )
        )

    async def signs_up(self, **changes: Any) -> Answer:
        account = {"email": self.email, "password": PASSWORD, "username": self.username, **changes}
        answer = await self.asks(SIGNUP, input=account)
        if answer.code is None:
            self.token = answer.data["signup"]["accessToken"]
            self.id = answer.data["signup"]["account"]["id"]
        return answer

    async def signs_in(self, **changes: Any) -> Answer:
        answer = await self.asks(SIGNIN, input={"email": self.email, "password": PASSWORD, **changes})
        if answer.code is None:
            self.token = answer.data["signin"]["accessToken"]
        return answer

    async def tries_to_create(self, authorization: str | None = None, **changes: Any) -> Answer:
        event = {"title": "A talk", "description": "", "tags": [], "location": "", **changes}
        return await self.asks(CREATE_EVENT, authorization=authorization, input=event)

    async def updates(self, event: dict[str, Any], if_version: int | None = None, **changes: Any) -> Answer:
        version = {} if if_version is None else {"ifVersion": if_version}
        return await self.asks(UPDATE_EVENT, id=event["id"], input={**changes, **version})

    async def rsvps(self, event: dict[str, Any]) -> Answer:
        return await self.asks(f"mutation ($id: ID!) {{ rsvp(eventId: $id) {PLACE} }}", id=event["id"])

    async def cancels_rsvp(self, event: dict[str, Any]) -> Answer:
        return await self.asks(f"mutation ($id: ID!) {{ cancelRsvp(eventId: $id) {PLACE} }}", id=event["id"])

    async def place_at(self, event: dict[str, Any]) -> tuple[str, int | None] | None:
        """Status and position in line."""
        answer = await self.asks(f"query ($id: ID!) {{ event(id: $id) {{ myRsvp {PLACE} }} }}", id=event["id"])
        place = answer.data["event"]["myRsvp"]
        return (place["status"], place["waitlistPosition"]) if place else None

    async def sees(self, event: dict[str, Any]) -> Any:
        return (await self.asks(f"query ($id: ID!) {{ event(id: $id) {EVENT} }}", id=event["id"])).data["event"]

    async def creates_event(self, **changes: Any) -> dict[str, Any]:
        event: dict[str, Any] = (await self.tries_to_create(**changes)).data["createEvent"]
        return event
