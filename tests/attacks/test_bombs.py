"""Documents that are small to send and large to answer. Each is refused in the time of a few plain reads, and others
are answered meanwhile."""

import time
from collections.abc import Callable
from statistics import median

import httpx
import orjson
import pytest

from tests.attacks.conftest import JSON, on_sqlite
from tests.people import Person

pytestmark = on_sqlite
READ = "{ events { nodes { id title } } }"
# In plain reads of 20 events, 2 to 4 ms each. Seen: up to 50 on a quiet machine of two cores, for a document of as
# many tokens as one may have, which is parsed. Without its limit each takes hundreds, or never ends.
MOST = 150


def fragments(count: int) -> str:
    """Each spreads the next one twice: the last is spelt out 2 ** count times."""
    chain = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}\n" for n in range(count))
    return f"{{ ...F0 }}\n{chain}fragment F{count} on Query {{ events {{ nodes {{ id }} }} }}"


def nested(depth: int) -> str:
    return "{ events { nodes { " + "creator { events { nodes { " * depth + "id" + " } } }" * depth + " } } }"


def signins(count: int) -> str:
    one = 'signin(input: {email: "ana@test.com", password: "x"}) { expiresAt }'
    return f"mutation {{ {' '.join(f'a{n}: {one}' for n in range(count))} }}"


DOCUMENTS: dict[str, Callable[[], str]] = {
    "1,000 sign-ins by alias": lambda: signins(1_000),
    "two sign-ins by alias": lambda: signins(2),
    "a sign-in beside a sign-up": lambda: signins(1).replace(
        "mutation {", 'mutation { signup(input: {email: "a@b.c", password: "x", username: "x"}) { expiresAt }'
    ),
    "sign-ins in fragments": lambda: (
        "mutation { ...A ...B } fragment A on Mutation { a: refresh(refreshToken: 1) { expiresAt } }"
        " fragment B on Mutation { b: deleteAccount(password: 1) { deletedId } }"
    ),
    "1,000 lists by alias": lambda: (
        f"{{ {' '.join(f'a{n}: events(first: 100) {{ nodes {{ id }} }}' for n in range(100))} }}"
    ),
    "10,000 fields": lambda: f"{{ me {{ {'id ' * 10_000} }} }}",
    "fragments that double": lambda: fragments(40),
    "fragments in a circle": lambda: "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a fragment of itself": lambda: "{ ...A } fragment A on Query { me { id } ...A }",
    "500 fragments": lambda: "{ ...F0 } " + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(500)),
    "deep": lambda: nested(10),
    "deep, with a page of one each": lambda: nested(20).replace("events {", "events(first: 1) {"),
    "very deep": lambda: nested(20_000),
    "deep in brackets alone": lambda: "{" * 100_000,
    "deep in lists": lambda: "{ event(id: " + "[" * 50_000,
    "wide and deep": lambda: f"{{ {'events(first: 100) { nodes { creator { ' * 4} id {'} } } ' * 4} }}",
    "directives": lambda: f"{{ me {{ id {'@include(if: true) ' * 5_000} }} }}",
    "made-up directives": lambda: f"{{ me {{ id {'@x ' * 1_500} }} }}",
    "introspection in circles": lambda: f"{{ __schema {{ types {{ {'fields { type { ' * 8} name {'} } ' * 8} }} }} }}",
    "variables without end": lambda: f"query ({' '.join(f'$v{n}: Int' for n in range(5_000))}) {{ me {{ id }} }}",
    "a list of 100,000": lambda: f"{{ event(id: [{'1 ' * 100_000}]) {{ id }} }}",
    "a comment of 900 kB": lambda: "#" * 900_000,
    "commas": lambda: "," * 900_000,
    "a name of 900 kB": lambda: "{ " + "a" * 900_000 + " }",
    "a string of 900 kB": lambda: '{ user(username: "' + "a" * 900_000 + '" x: 1) { id } }',
    "blank lines before 300 faults": lambda: "\n" * 400_000 + f"{{ {' '.join(f'x{n}' for n in range(300))} }}",
    "unlike fields of one name": lambda: f"{{ me {{ {'a: id a: email ' * 300} }} }}",
    "unknown fields of an input": lambda: f"{{ events(filter: {{ {'tag: 1 ' * 600} }}) {{ totalCount }} }}",
    "fragments that spell out 16,900 fields": lambda: (
        f"{{ events(first: 1) {{ nodes {{ {' '.join(f'a{n}: creator {{ ...F }}' for n in range(130))} }} }} }}"
        f" fragment F on User {{ {' '.join(f'b{n}: username' for n in range(130))} }}"
    ),
    "an unknown field by 300 names": lambda: f"{{ {' '.join(f'a{n}: evens' for n in range(300))} }}",
}


async def seconds(http: httpx.AsyncClient, content: bytes) -> tuple[float, httpx.Response]:
    begun = time.perf_counter()
    answer = await http.post("/graphql", content=content, headers=JSON)
    return time.perf_counter() - begun, answer


async def a_read(http: httpx.AsyncClient) -> float:
    return median([(await seconds(http, orjson.dumps({"query": READ})))[0] for _ in range(5)])


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
async def test_a_document_that_asks_for_too_much_is_refused_soon(
    http: httpx.AsyncClient, ana: Person, document: Callable[[], str]
) -> None:
    bomb = orjson.dumps({"query": document()})
    before = await a_read(http)

    taken, answer = await seconds(http, bomb)

    codes = {error["extensions"]["code"] for error in answer.json()["errors"]}
    assert codes <= {"QUERY_TOO_COMPLEX", "GRAPHQL_INVALID", "BAD_REQUEST"}
    assert answer.json().get("data") is None
    assert len(answer.content) < 100_000  # nor is the refusal a bomb
    assert taken < MOST * max(before, await a_read(http)), f"{taken:.3f} s"


BODIES: dict[str, bytes] = {
    "JSON nested deep": b'{"query": "{ me { id } }", "variables": {"x": ' + b"[" * 300_000 + b"]" * 300_000 + b"}}",
    "keys without end": b"{%b}" % b",".join(b'"k%d":1' % n for n in range(80_000)),
    "a number without end": b'{"query": "{ me { id } }", "variables": {"x": ' + b"9" * 900_000 + b"}}",
    "a batch": orjson.dumps([{"query": READ}] * 1_000),
    "no query": b'{"variables": {}}',
    "100,000 nulls": orjson.dumps(
        {
            "query": "query ($x: [EventStatus!]) { events(filter: {status: $x}) { totalCount } }",
            "variables": {"x": [None] * 100_000},
        }
    ),
    "variables as text": b'{"query": "{ me { id } }", "variables": "{}"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_is_no_request_is_refused_soon(http: httpx.AsyncClient, ana: Person, body: bytes) -> None:
    before = await a_read(http)

    taken, answer = await seconds(http, body)

    codes = {error["extensions"]["code"] for error in answer.json().get("errors", ())}
    unused = answer.json() == {"data": {"me": None}}  # a variable that is not used breaks nothing
    assert answer.status_code == 400 or codes == {"QUERY_TOO_COMPLEX"} or unused
    assert taken < MOST * max(before, await a_read(http)), f"{taken:.3f} s"


VALUES: dict[str, str] = {
    "accents": "a" + "\u0301\u0316" * 50_000,
    "letters that fold long": "\ufdfa" * 100_000,
    "blanks": " " * 300_000,
    "at signs": "@" * 300_000,
    "dots": "a@" + "a." * 150_000,
}


@pytest.mark.parametrize("text", VALUES.values(), ids=VALUES.keys())
async def test_a_long_value_is_refused_before_it_is_looked_at(http: httpx.AsyncClient, ana: Person, text: str) -> None:
    """Unicode's normal forms and patterns take time that grows with the square of such texts."""
    before = await a_read(http)
    calls = {
        "mutation ($t: String!) { signup(input: {email: $t, password: $t, username: $t}) { expiresAt } }": "VALIDATION",
        "mutation ($t: String!) { refresh(refreshToken: $t) { expiresAt } }": "TOKEN_INVALID",
        "query ($t: String!) { user(username: $t) { id } }": None,
        "query ($t: String!) { tags(startsWith: $t) { tag } }": "VALIDATION",
        "query ($t: String!) { events(after: $t) { nodes { id } } }": "VALIDATION",
        "query ($t: ID!) { event(id: $t) { id } }": None,
    }
    for document, code in calls.items():
        taken, answer = await seconds(http, orjson.dumps({"query": document, "variables": {"t": text}}))
        codes = {error["extensions"]["code"] for error in answer.json().get("errors", ())}
        assert codes <= {code}, document
        assert taken < MOST * max(before, await a_read(http)), f"{document}: {taken:.3f} s"
