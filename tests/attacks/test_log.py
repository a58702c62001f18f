"""What the server writes down of those who come: what its operator needs, and no secret."""

import re
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.attacks.conftest import WRONG, Attacked
from tests.people import PASSWORD, SIGNIN, SIGNUP, Person
from tests.sockets import Socket
from web.websocket import PROTOCOL

REFRESH = "mutation ($t: String!) { refresh(refreshToken: $t) { accessToken refreshToken } }"
CHANGE = """mutation ($old: String!, $new: String!) {
  changePassword(input: {currentPassword: $old, newPassword: $new}) { accessToken refreshToken }
}"""
DELETE = "mutation ($p: String!) { deleteAccount(password: $p) { deletedId } }"
NEW = PASSWORD + "-new"


async def lives_a_life(person: Person) -> None:
    """From signing up to deleting the account, with every mistake on the way."""
    first = (await person.signs_up()).data["signup"]
    assert (await person.signs_in(password=WRONG)).code == "INVALID_CREDENTIALS"
    second = (await person.signs_in()).data["signin"]
    third = (await person.asks(REFRESH, t=second["refreshToken"])).data["refresh"]
    fourth = (await person.asks(REFRESH, t=third["refreshToken"])).data["refresh"]
    assert (await person.asks(REFRESH, t=second["refreshToken"])).code == "TOKEN_REVOKED"
    assert (await person.tries_to_create(f"Bearer {fourth['accessToken']}")).code == "TOKEN_REVOKED"
    person.token = first["accessToken"]
    assert (await person.asks(CHANGE, old=WRONG, new=NEW)).code == "INVALID_CREDENTIALS"
    person.token = (await person.asks(CHANGE, old=PASSWORD, new=NEW)).data["changePassword"]["accessToken"]
    assert (await person.asks(DELETE, p=WRONG)).code == "INVALID_CREDENTIALS"
    assert (await person.asks(DELETE, p=NEW)).code is None


async def test_no_secret_is_logged(server: Attacked, anybody: Person, http: httpx.AsyncClient) -> None:
    """At debug, the most that it ever logs. The same is asked of the whole folder's log when the server stops."""
    await lives_a_life(anybody)
    # Where it does not belong: in a document, under a wrong type, in a wrong body, in a header.
    for document in (SIGNUP, SIGNIN):
        inline = document.partition("{")[2].replace(
            "input: $input", f'input: {{email: 3, password: "{PASSWORD}", username: "{anybody.email}"}}'
        )
        assert (await anybody.asks(f"mutation {{ {inline}")).errors
    await http.post("/graphql", content=f'{{"query": "{PASSWORD}', headers={"content-type": "application/json"})
    await http.post("/graphql", json={"query": SIGNIN, "variables": {"input": PASSWORD}})
    await http.post("/graphql", data={"password": PASSWORD, "token": anybody.token})
    await http.get("/graphql", headers={"authorization": f"Bearer {anybody.token}", "cookie": f"t={anybody.token}"})

    assert server.tells() == []
    assert len(server.told) > 12  # the life's tokens are among those
    assert '"POST /graphql HTTP/1.1" 200' in server.log.read_text()


async def calendar_of(person: Person) -> str:
    """Its secret address."""
    return str((await person.asks("{ me { calendarUrl } }")).data["me"]["calendarUrl"])


async def puts_secrets_into_addresses(person: Person) -> None:
    signin = f'mutation {{ signin(input: {{email: "{person.email}", password: "{PASSWORD}"}}) {{ tokenType }} }}'
    assert person.token
    for parameters in ({"token": person.token}, {"query": signin}, {"query": "{ me { id } }", "t": person.token}):
        address = f"/graphql?{httpx.QueryParams(parameters)}"
        for accept in ("application/json", "text/event-stream", "text/html"):
            await person.http.get(address, headers={"accept": accept})
            await person.http.post(address, json={"query": "{ me { id } }"}, headers={"accept": accept})
        assert (await person.http.get(quote(address))).status_code == 404  # encoded once too often
    assert (await person.http.get(await calendar_of(person))).status_code == 200
    assert (await person.http.get(f"{await calendar_of(person)}?token={person.token}")).status_code == 200


async def puts_secrets_into_sockets(person: Person) -> None:
    address = str(person.http.base_url).rstrip("/").replace("http", "ws", 1) + "/graphql"
    protocols = [Subprotocol(PROTOCOL)]
    for its_address in (address, f"{address}?token={person.token}"):
        async with connect(its_address, subprotocols=protocols) as connection:
            socket = Socket(connection)
            await socket.initialises({"authorization": f"Bearer {person.token}"})
            await socket.asks("{ me { username } }")
            assert await socket.data() == {"me": {"username": person.username}}
    calendar = (await calendar_of(person)).replace("http", "ws", 1)
    for its_address in (f"{address}?token={person.token}", calendar):
        with pytest.raises(InvalidStatus, match="403"):
            await connect(its_address, subprotocols=protocols, origin=Origin("https://elsewhere.example"))


async def test_no_secret_of_an_address_is_logged(server: Attacked, anybody: Person) -> None:
    """Nothing that follows a question mark, and not what opens a calendar, by HTTP, as a stream, by WebSocket."""
    await anybody.signs_up()
    await puts_secrets_into_addresses(anybody)
    await puts_secrets_into_sockets(anybody)

    assert server.tells() == []
    log = server.log.read_text()
    assert re.findall(r'"\w+ [^" ]*\?.*', log) == []
    for known in (
        '"GET /graphql HTTP/1.1" 200',
        f'"GET /calendars/account/{anybody.id}/... HTTP/1.1" 200',
        '"WebSocket /graphql" [accepted]',
        '"WebSocket /graphql" 403',
        f'"WebSocket /calendars/account/{anybody.id}/..." 403',
    ):
        assert known in log


async def test_what_it_is_watched_for_would_be_found(server: Attacked) -> None:
    server.told.add("/health/live")
    assert server.tells() == ["/health/live"]
    server.told.remove("/health/live")


async def test_what_happens_to_an_account_is_logged(server: Attacked, anybody: Person) -> None:
    """By the ids of account and session, which are no secrets."""
    await lives_a_life(anybody)

    events = re.findall(rf"(\w+) \[planner.audit\] .*account={anybody.id}\b", server.log.read_text())
    assert events == [
        "signup",
        "signin_refused",
        "signin",
        "refresh_reused",
        "password_refused",
        "password_changed",
        "password_refused",
        "account_deleted",
    ]


async def test_a_sign_in_to_no_account_is_logged_too(server: Attacked, anybody: Person) -> None:
    """Without the e-mail: people type their passwords into that field."""

    def told() -> int:
        return len(
            re.findall(r"signin_refused \[planner.audit\] request=\w+ address=127.0.0.1\n", server.log.read_text())
        )

    before = told()

    assert (await anybody.signs_in(email=f"{WRONG}@nowhere.test")).code == "INVALID_CREDENTIALS"

    assert told() == before + 1
