"""What the server writes down of those who come: what its operator needs, and no secret."""

import re

import httpx

from tests.attacks.conftest import WRONG, Attacked
from tests.people import PASSWORD, SIGNIN, SIGNUP, Person

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


async def test_what_it_is_watched_for_would_be_found(server: Attacked) -> None:
    server.told.add("/health/live")
    assert server.tells() == ["/health/live"]
    server.told.remove("/health/live")


async def test_what_happens_to_an_account_is_logged(server: Attacked, anybody: Person) -> None:
    """By the ids of account and session, which are no secrets."""
    await lives_a_life(anybody)

    events = re.findall(rf"event=(\w+) account={anybody.id} ", server.log.read_text())
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
    before = server.log.read_text().count("event=signin_refused address=127.0.0.1")

    assert (await anybody.signs_in(email=f"{WRONG}@nowhere.test")).code == "INVALID_CREDENTIALS"

    assert server.log.read_text().count("event=signin_refused address=127.0.0.1") == before + 1
