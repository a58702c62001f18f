"""What is refused for now says when to come back, in the body and to those who read headers alone; and to whom."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from app import Planner, create_app
from settings import Settings
from tests.conftest import Server
from tests.people import PASSWORD, Answer, Person

WRONG = "not this one"
GUESSES = 5  # in a minute, at one account
SIGN_INS = 25  # wrong ones in a minute, from one address
SIGNIN = f'signin(input: {{email: "%s@test.com", password: "{WRONG}"}}) {{ tokenType }}'


async def until_refused(person: Person) -> Answer:
    for _ in range(GUESSES):
        assert (await person.signs_in(password=WRONG)).code == "INVALID_CREDENTIALS"
    return await person.signs_in()


async def test_a_guest_who_tries_too_often_is_told_how_long_to_wait(anybody: Person) -> None:
    refused = await until_refused(anybody)

    assert refused.status == 200
    assert refused.body["data"] == {"signin": None}
    assert (
        refused.errors[0]["message"]
        == f"Too many tries. Try again in {refused.errors[0]['extensions']['retryAfter']} s."
    )
    assert refused.errors[0]["extensions"]["code"] == "RATE_LIMITED"
    assert 50 <= refused.errors[0]["extensions"]["retryAfter"] <= 60
    assert refused.response.headers["retry-after"] == str(refused.errors[0]["extensions"]["retryAfter"])
    assert (await anybody.asks("{ __typename }")).response.headers.get("retry-after") is None


async def test_only_where_all_was_refused_is_there_a_header(anybody: Person) -> None:
    await until_refused(anybody)
    signin = SIGNIN % anybody.username

    beside_an_answer = await anybody.asks(f"mutation {{ __typename {signin} }}")
    beside_another_refusal = await anybody.asks(f"mutation {{ {signin} signout {{ sessionsEnded }} }}")

    for answer in (beside_an_answer, beside_another_refusal):
        assert answer.errors[0]["extensions"]["code"] == "RATE_LIMITED"
        assert "retry-after" not in answer.response.headers


async def test_a_full_queue_tells_it_to_those_who_read_headers_alone(anybody: Person, app: Planner) -> None:
    # With more pending than the pool takes, as in a flood.
    endpoint: Any = app.graphql
    endpoint._operations._accounts.passwords._pool._pending = 1000

    refused = await anybody.signs_in()

    assert refused.code == "UNAVAILABLE"
    assert refused.response.headers["retry-after"] == str(refused.errors[0]["extensions"]["retryAfter"])


@pytest.mark.parametrize(
    "field",
    [
        "refresh(refreshToken: \"made.up\") { tokenType }",
        "changePassword(input: {currentPassword: \"a\", newPassword: \"b\"}) { tokenType }",
        "deleteAccount(password: \"a\") { deletedId }",
        SIGNIN % "ana",
    ],
    ids=lambda field: field.partition("(")[0],
)  # fmt: skip
async def test_an_operation_has_one_field_in_which_something_may_be_guessed(ana: Person, field: str) -> None:
    assert (await ana.asks(f"mutation {{ {field} }}")).code != "QUERY_TOO_COMPLEX"

    for more in (f"again: {field}", f"... {{ again: {field} }}", f"more: {SIGNIN % 'ana'}"):
        assert (await ana.asks(f"mutation {{ {field} {more} }}")).code == "QUERY_TOO_COMPLEX"


async def test_nothing_is_guessed_over_get(anybody: Person) -> None:
    query = f"mutation {{ {SIGNIN % 'ana'} }}"

    assert (await anybody.http.get("/graphql", params={"query": query})).status_code == 405


@pytest.fixture
async def behind_a_proxy(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """As a proxy of ours at 127.0.0.1 asks the server."""
    app = create_app(settings.model_copy(update={"trusted_proxies": ("127.0.0.1",)}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://planner.test") as http,
    ):
        yield http


async def code(http: httpx.AsyncClient, name: str, *addresses: str, password: str = WRONG) -> str | None:
    """What a sign-in ends in that a proxy passes on, with the addresses that it says."""
    query = f'mutation {{ signin(input: {{email: "{name}@test.com", password: "{password}"}}) {{ tokenType }} }}'
    headers = [("x-forwarded-for", address) for address in addresses]
    return Answer(await http.post("/graphql", json={"query": query}, headers=headers)).code


async def test_behind_a_proxy_of_ours_each_client_is_counted(behind_a_proxy: httpx.AsyncClient) -> None:
    for number in range(SIGN_INS):
        # What a client writes itself stands before what the proxy adds.
        assert await code(behind_a_proxy, f"u{number}", f"1.1.1.{number}, 203.0.113.9") == "INVALID_CREDENTIALS"

    assert await code(behind_a_proxy, "ana", "203.0.113.9") == "RATE_LIMITED"
    assert await code(behind_a_proxy, "ana", "203.0.113.10") == "INVALID_CREDENTIALS"


async def test_else_the_header_is_anybodys(http: httpx.AsyncClient) -> None:
    for number in range(SIGN_INS):
        assert await code(http, f"u{number}", f"203.0.113.{number}") == "INVALID_CREDENTIALS"

    assert await code(http, "ana", "198.51.100.1") == "RATE_LIMITED"


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_nor_does_the_server_that_runs_it_take_it(make_server: Callable[..., Server]) -> None:
    """uvicorn would, from 127.0.0.1."""
    server = make_server(ADDRESS_GUESSES_PER_HOUR="4")
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        codes = [await code(http, f"u{number}", f"203.0.113.{number}") for number in range(3)]

    assert codes == ["INVALID_CREDENTIALS", "RATE_LIMITED", "RATE_LIMITED"]


async def test_an_owner_signs_in_at_home_while_others_guess(behind_a_proxy: httpx.AsyncClient) -> None:
    account = f'{{email: "ana@test.com", username: "ana", password: "{PASSWORD}"}}'
    signup = {"query": f"mutation {{ signup(input: {account}) {{ tokenType }} }}"}
    at_home = {"x-forwarded-for": "2001:db8:1:2::3"}
    assert Answer(await behind_a_proxy.post("/graphql", json=signup, headers=at_home)).code is None

    guesses = [await code(behind_a_proxy, "ana", f"198.51.100.{number}") for number in range(2 * GUESSES)]

    assert guesses == ["INVALID_CREDENTIALS"] * GUESSES + ["RATE_LIMITED"] * GUESSES
    assert await code(behind_a_proxy, "ana", "2001:db8:1:2:ffff::4", password=PASSWORD) is None
    assert await code(behind_a_proxy, "ana", "2001:db8:1:3::3", password=PASSWORD) == "RATE_LIMITED"
