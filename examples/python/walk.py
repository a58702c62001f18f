"""A walk through the API with gql: sign up, sign in, create an event, list the newest.

python walk.py [address] [e-mail]
"""

import asyncio
import os
import sys
from typing import Any
from uuid import uuid4

from gql import Client, GraphQLRequest, gql
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport

PASSWORD = "seven grey geese"  # an invented person's; a real one is asked for, never written down

SIGNUP = gql("mutation ($input: SignupInput!) { signup(input: $input) { account { username } } }")
SIGNIN = gql("mutation ($input: SigninInput!) { signin(input: $input) { accessToken expiresAt } }")
CREATE_EVENT = gql("mutation ($input: CreateEventInput!) { createEvent(input: $input) { id title } }")
EVENTS = gql("""
    query ($first: Int!) {
      events(first: $first) {
        nodes { title location creator { username } }
        pageInfo { hasNextPage endCursor }
      }
    }
""")


async def walk(address: str, email: str) -> None:
    transport = HTTPXAsyncTransport(url=f"{address.rstrip('/')}/graphql", timeout=10)
    async with Client(transport=transport) as session:

        async def ask(request: GraphQLRequest, token: str | None = None, **variables: Any) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            asked = GraphQLRequest(request, variable_values=variables)
            answer: dict[str, Any] = await session.execute(asked, extra_args={"headers": headers})
            return answer

        account = {"email": email, "password": PASSWORD}
        try:
            await ask(SIGNUP, input={**account, "username": email.partition("@")[0]})
            print(f"Signed up: {email}")
        except TransportQueryError as error:
            if code_of(error) != "EMAIL_TAKEN":
                raise
            print(refusal(error))  # the account is there: go on and sign in

        tokens = (await ask(SIGNIN, input=account))["signin"]
        token = tokens["accessToken"]
        print(f"Signed in until {tokens['expiresAt']}")

        event = {
            "title": "FastAPI 책 출간 행사",
            "description": "The book is out.",
            "tags": ["python", "fastapi", "책"],
            "location": "Google Meet",
            "startsAt": "2030-05-04T19:00:00+09:00",
            "endsAt": "2030-05-04T21:00:00+09:00",
            "timeZone": "Asia/Seoul",
        }
        try:
            await ask(CREATE_EVENT, token, input={**event, "title": "", "endsAt": "2030-05-04T18:00:00+09:00"})
        except TransportQueryError as error:
            if code_of(error) != "VALIDATION":
                raise
            print(refusal(error))  # whatever is wrong with an input is told at once, field by field

        created = (await ask(CREATE_EVENT, token, input=event))["createEvent"]
        print(f"Created: {created['title']}")

        newest = (await ask(EVENTS, first=3))["events"]  # everybody may list; the next page is after: endCursor
        for node in newest["nodes"]:
            print(f"Newest: {node['title']}, {node['location']}, by {node['creator']['username']}")


def code_of(error: TransportQueryError) -> str:
    """What went wrong, for programs; the message is for people and may change."""
    code: str = (error.errors or [{}])[0].get("extensions", {}).get("code", "")
    return code


def refusal(error: TransportQueryError) -> str:
    """A line for each error, and one for each wrong field where the code is VALIDATION."""
    lines = []
    for one in error.errors or []:
        extensions = one.get("extensions", {})
        lines.append(f"Refused: {extensions.get('code')}: {one['message']}")
        lines += [f"  {field}: {problem}" for field, problem in extensions.get("fields", {}).items()]
    return "\n".join(lines)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    address = given.get(1) or os.environ.get("PLANNER_URL") or "http://127.0.0.1:8000"
    email = given.get(2) or f"ana-{uuid4().hex[:12]}@example.com"
    try:
        asyncio.run(walk(address, email))
    except TransportQueryError as error:
        sys.exit(refusal(error))
    except TransportError as error:
        sys.exit(f"No GraphQL answer from {address}. {error}")
