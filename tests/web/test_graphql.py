import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from graphql import get_introspection_query

import models
from tests.people import Person

RESPONSE_JSON = "application/graphql-response+json"


async def post(http: httpx.AsyncClient, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return await http.post("/graphql", content=content, headers={"content-type": "application/json", **headers})


def code_of(response: httpx.Response) -> str:
    body = response.json()
    assert "data" not in body
    return str(body["errors"][0]["extensions"]["code"])


@pytest.mark.parametrize(
    "body",
    [b"", b"123", b'"x"', b"null", b"[]", b"{", b"\xff\xfe", b'{"query": "\xff"}', b"[" * 10_000 + b"]" * 10_000,
     b"{}", b'{"query": 1}', b'{"query": "  "}', b'{"query": "{__typename}", "variables": []}',
     b'{"query": "{__typename}", "operationName": 1}', b'{"query": "{__typename}", "extensions": "x"}',
     b'{"query": "\\ud800"}', b'{"query": "{__typename}", "operationName": "nope"}'],
)  # fmt: skip
async def test_what_is_not_a_graphql_request_is_a_bad_request(http: httpx.AsyncClient, body: bytes) -> None:
    response = await post(http, body)

    assert response.status_code == 400
    assert code_of(response) == "BAD_REQUEST"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "",
                                  "application/json; charset=latin-1"])  # fmt: skip
async def test_a_body_of_another_type_is_refused(http: httpx.AsyncClient, kind: str) -> None:
    response = await post(http, {"query": "{ __typename }"}, **{"content-type": kind})

    assert response.status_code == 415
    assert code_of(response) == "BAD_REQUEST"


async def test_a_large_body_is_refused_before_it_is_read(http: httpx.AsyncClient) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 65_536
            yield b" " * 65_536

    declared = await post(http, b" " * 1_048_577)
    undeclared = await http.post("/graphql", content=endless(), headers={"content-type": "application/json"})

    for response in (declared, undeclared):
        assert response.status_code == 413
        assert code_of(response) == "BAD_REQUEST"


async def test_get_runs_queries_and_nothing_else(http: httpx.AsyncClient) -> None:
    query = {"query": "query ($u: String!) { user(username: $u) { id } }", "variables": '{"u": "ana"}'}
    mutation = {
        "query": 'mutation { signup(input: {email: "a@test.com", password: "longlong", username: "a"}) { tokenType } }'
    }

    assert (await http.get("/graphql", params=query)).json() == {"data": {"user": None}}
    refused = await http.get("/graphql", params=mutation)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert await models.User.all().count() == 0
    assert (await http.get("/graphql", params={"query": "{__typename}", "variables": "{"})).status_code == 400
    assert (await http.put("/graphql")).status_code == 405


@pytest.mark.parametrize(
    ("accept", "status", "media_type"),
    [
        ("application/json", 200, "application/json"),
        ("*/*", 200, "application/json"),
        (RESPONSE_JSON, 400, RESPONSE_JSON),
        (f"{RESPONSE_JSON}, application/json;q=0.9", 400, RESPONSE_JSON),
        (f"{RESPONSE_JSON};q=0.5, application/json", 200, "application/json"),
        ("text/css", 406, "application/json"),
    ],
)
async def test_the_answer_is_of_the_kind_that_the_client_likes(
    http: httpx.AsyncClient, accept: str, status: int, media_type: str
) -> None:
    response = await post(http, {"query": "{ nope }"}, accept=accept)

    assert response.status_code == status
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "document", ["{", "{ nope }", "query ($x: Int!) { events(first: $x) { totalCount } }", "# nothing"]
)
async def test_a_document_that_does_not_fit_is_invalid(http: httpx.AsyncClient, document: str) -> None:
    response = await post(http, {"query": document})

    assert code_of(response) == "GRAPHQL_INVALID"


async def test_a_document_of_too_many_tokens_is_too_complex(http: httpx.AsyncClient) -> None:
    response = await post(http, {"query": "{" + "__typename " * 2_000 + "}"})

    assert code_of(response) == "QUERY_TOO_COMPLEX"
    assert response.json()["errors"][0]["extensions"]["limit"] == 2_000


NESTED = "{ events(first: 100) { nodes { creator { events(first: 100) { nodes { creator { id username } } } } } } }"
BOMB = "{ ...A0 } fragment A90 on Query { __typename } " + " ".join(
    f"fragment A{n} on Query {{ ...A{n + 1} ...A{n + 1} }}" for n in range(90)
)
SIGNIN = 'signin(input: {email: "ana@test.com", password: "longlong"}) { tokenType }'


@pytest.mark.parametrize(
    ("document", "measure", "limit"),
    [
        (NESTED, "values in its answer, at most", 20_000),
        (
            "{ events { nodes { creator { " + "events { nodes { creator { " * 6 + "id" + "} } }" * 6 + "} } } }",
            "levels",
            20,
        ),
        (BOMB, "values in its answer, at most", 20_000),
        (f"mutation {{ a: {SIGNIN} b: {SIGNIN} }}", "fields of signin, signup", 1),
    ],
)
async def test_a_document_that_asks_for_too_much_is_too_complex(
    http: httpx.AsyncClient, document: str, measure: str, limit: int
) -> None:
    response = await post(http, {"query": document})

    extensions = response.json()["errors"][0]["extensions"]
    assert code_of(response) == "QUERY_TOO_COMPLEX"
    assert (extensions["measure"], extensions["limit"]) == (measure, limit)
    assert extensions["cost"] > limit


async def test_the_schema_can_be_introspected_but_not_in_circles(http: httpx.AsyncClient) -> None:
    asked = await post(http, {"query": get_introspection_query(specified_by_url=True, input_value_deprecation=True)})
    circle = "{ __schema { types { " + "fields { type { " * 4 + "name" + "} }" * 4 + "} } }"

    assert "errors" not in asked.json()
    assert code_of(await post(http, {"query": circle})) == "GRAPHQL_INVALID"


async def test_an_unforeseen_fault_is_told_by_its_number_alone(
    anybody: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail of /a/path, SELECT * FROM users")

    monkeypatch.setattr(models.Event, "read", broken)
    with caplog.at_level(logging.ERROR):
        answer = await anybody.asks('{ event(id: "x") { id } tags { tag } }')

    assert answer.body["data"] == {"event": None, "tags": []}
    assert answer.code == "INTERNAL"
    assert "secret" not in answer.response.text
    request_id = answer.errors[0]["extensions"]["requestId"]
    assert answer.response.headers["x-request-id"] == request_id
    assert request_id in caplog.text
    assert "secret detail" in caplog.text


async def test_no_other_origin_may_call_it_unless_told(http: httpx.AsyncClient) -> None:
    response = await post(http, {"query": "{ __typename }"}, origin="https://elsewhere.org")
    asked = await http.options(
        "/graphql", headers={"origin": "https://elsewhere.org", "access-control-request-method": "POST"}
    )

    assert "access-control-allow-origin" not in response.headers
    assert asked.status_code == 405


async def test_health_tells_whether_the_database_answers(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/live")).json() == {"status": "ok"}
    assert (await http.get("/health/ready")).status_code == 200
    await models.close_database()
    # SQLite opens itself again; what matters is that nothing of the cause is told.
    assert "Traceback" not in (await http.get("/health/ready")).text
