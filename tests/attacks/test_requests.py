"""Requests that another page, a proxy or a crafted connection could send in a visitor's name, or out of step."""

import re

import httpx
import orjson
import pytest

from tests.attacks.conftest import Attacked, on_sqlite
from tests.people import PASSWORD, SIGNIN, Person

pytestmark = on_sqlite
CREATE = 'mutation { createEvent(input: {title: "Forged", description: "", tags: [], location: ""}) { id } }'
COUNT = "{ events { totalCount } }"
PATHS = ("/", "/graphql", "/health/live", "/health/ready", "/.well-known/jwks.json")
EVIL = "evil.test"


@pytest.fixture
async def count(ana: Person) -> int:
    """Of events, before the attack."""
    return int((await ana.asks(COUNT)).data["events"]["totalCount"])


async def made_none(ana: Person, count: int) -> bool:
    return bool((await ana.asks(COUNT)).data["events"]["totalCount"] == count)


def signed(person: Person) -> dict[str, str]:
    return {"authorization": f"Bearer {person.token}"}


@pytest.mark.parametrize(
    "overriding",
    [
        {},
        {"x-http-method-override": "POST"},
        {"x-http-method": "POST"},
        {"x-method-override": "POST"},
        {"content-type": "application/json"},
    ],
)
async def test_get_changes_nothing(
    ana: Person, http: httpx.AsyncClient, count: int, overriding: dict[str, str]
) -> None:
    """Even with a token: a link or a picture is all that another page needs for a GET."""
    named = f"query Q {{ me {{ id }} }} {CREATE.replace('mutation', 'mutation M', 1)}"
    for parameters in (
        {"query": CREATE},
        {"query": CREATE, "_method": "POST"},
        {"query": named, "operationName": "M"},
        {"query": "{ me { id } }", "extensions": '{"method": "POST"}', "mutation": CREATE},
    ):
        answer = await http.get("/graphql", params=parameters, headers={**signed(ana), **overriding})
        assert answer.status_code == (200 if "mutation" in parameters else 405)

    assert await made_none(ana, count)


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; charset=utf-8",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=application/json",
        "text/plain, application/json",
        "application/jsonp",
        "application/graphql",
        "application/csp-report",
        "image/svg+xml",
        "",
        None,
    ],
)
async def test_a_page_can_send_no_body_without_being_asked(
    ana: Person, http: httpx.AsyncClient, count: int, kind: str | None
) -> None:
    """These kinds go to another origin without a preflight (Fetch §2.2.2), or are near to those."""
    body = orjson.dumps({"query": CREATE})
    headers = {**signed(ana), "origin": f"https://{EVIL}"} | ({} if kind is None else {"content-type": kind})

    answer = await http.post("/graphql", content=body, headers=headers)

    assert answer.status_code == 415
    assert answer.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
    assert await made_none(ana, count)


async def test_a_form_is_no_request(ana: Person, http: httpx.AsyncClient, count: int) -> None:
    operations = orjson.dumps({"query": CREATE}).decode()

    forms = [
        await http.post("/graphql", data={"query": CREATE}, headers=signed(ana)),
        await http.post("/graphql", data={orjson.dumps({"query": CREATE, "x": ""}).decode(): ""}, headers=signed(ana)),
        await http.post("/graphql", files={"operations": (None, operations), "map": (None, "{}")}, headers=signed(ana)),
    ]

    assert [answer.status_code for answer in forms] == [415] * 3
    assert await made_none(ana, count)


async def test_no_other_page_is_let_in(http: httpx.AsyncClient) -> None:
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for origin in (f"https://{EVIL}", "null", str(http.base_url), "file://"):
        for answer in (
            await http.options("/graphql", headers={"origin": origin, **preflight}),
            await http.post("/graphql", json={"query": COUNT}, headers={"origin": origin}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "set-cookie" not in answer.headers


async def test_no_page_of_another_origin_gets_a_socket(server: Attacked) -> None:
    for origin in (f"https://{EVIL}", "null"):
        answer = await server.sends(
            b"GET /graphql HTTP/1.1\r\nHost: planner\r\nOrigin: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n" % origin.encode()
        )
        assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LOCK"])
@pytest.mark.parametrize("path", PATHS)
async def test_no_other_method_is_taken(http: httpx.AsyncClient, path: str, method: str) -> None:
    answer = await http.request(method, path, headers={"x-secret-of-mine": "told only to the server"})

    assert answer.status_code == 405
    assert "told only" not in answer.text + str(answer.headers)


async def test_the_method_stays_what_it_is(ana: Person, http: httpx.AsyncClient, count: int) -> None:
    headers = {**signed(ana), "x-http-method-override": "DELETE", "x-http-method": "GET"}

    answer = await http.post("/graphql?_method=GET&query=%7Bme%7Bid%7D%7D", json={"query": CREATE}, headers=headers)

    assert answer.json()["data"]["createEvent"]["id"]  # the body's document, by POST
    assert not await made_none(ana, count)


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/?next=//evil.test",
        "/?url=https://evil.test&redirect_uri=https://evil.test",
        "//evil.test",
        "//evil.test/",
        "///evil.test/",
        "//evil.test/graphql/",
        "/\\evil.test/",
        "/%2f%2fevil.test/",
        "/%5cevil.test/",
        "/graphql/",
        "/graphql//evil.test/",
        "/health/live/",
        "/health/ready/",
        "/.well-known/jwks.json/",
        "/@evil.test/",
        "/%0d%0aLocation:%20https://evil.test/",
        "https://evil.test/",
        "https://evil.test/graphql/",
    ],
)
async def test_no_answer_leads_elsewhere(server: Attacked, address: str) -> None:
    """Whatever the address and the Host header say. A cache in front could hand such an answer to others."""
    answer = await server.sends(
        f"GET {address} HTTP/1.1\r\nHost: {EVIL}\r\nX-Forwarded-Host: {EVIL}\r\nX-Forwarded-Proto: https\r\n"
        f"Forwarded: host={EVIL}\r\nX-Original-URL: //{EVIL}\r\nX-Rewrite-URL: //{EVIL}\r\n"
        "Connection: close\r\n\r\n".encode()
    )

    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    locations = re.findall(r"(?mi)^location: *(.*?)\r?$", head)
    assert set(locations) <= {"/graphql"}, head
    assert EVIL not in head


async def test_a_host_header_decides_nothing(ana: Person, http: httpx.AsyncClient) -> None:
    for host in (EVIL, "localhost", "127.0.0.1:1", "planner.test@evil.test", "' OR 1=1 --", "x" * 5_000):
        answer = await http.post(
            "/graphql", json={"query": "{ me { username } }"}, headers={**signed(ana), "host": host}
        )
        assert answer.json() == {"data": {"me": {"username": "ana"}}}
        assert EVIL not in str(answer.headers)


INJECTED = "\r\nSet-Cookie: session=forged\r\nX-Injected: yes"


@pytest.mark.parametrize(
    "head",
    [
        f"POST /graphql HTTP/1.1\r\nX-Request-ID: mine{INJECTED}",
        f"POST /graphql HTTP/1.1\r\nUser-Agent: mine{INJECTED}",
        "POST /graphql HTTP/1.1\r\nX-Request-ID: mine\r\n X-Injected: yes",
        "POST /graphql HTTP/1.1\r\nX-Request-ID: mine\nX-Injected: yes",
        "POST /graphql HTTP/1.1\r\nX-Request-ID: mine\rX-Injected: yes",
        "POST /graphql HTTP/1.1\r\nX-Request-ID: mine\0X-Injected: yes",
        "POST /graphql?x=%0d%0aX-Injected:%20yes HTTP/1.1",
        "GET /%0d%0aX-Injected:%20yes HTTP/1.1",
        "GET /graphql?query=%0d%0aX-Injected:%20yes HTTP/1.1",
        "GET /\r\nX-Injected: yes HTTP/1.1",
        "GET / HTTP/1.1\r\nX-Injected: yes",
        "GET /graphql/%E5%98%8A%E5%98%8DX-Injected:%20yes/ HTTP/1.1",
    ],
)
async def test_no_header_of_an_answer_is_the_clients(server: Attacked, head: str) -> None:
    body = '{"query": "{ me { id } }"}'
    answer = await server.sends(
        f"{head}\r\nHost: planner\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Accept: application/json\r\nConnection: close\r\n\r\n{body}".encode("latin-1")
    )

    told = answer.partition(b"\r\n\r\n")[0].lower()
    assert re.match(rb"http/1\.1 [234]\d\d ", told)
    assert b"injected" not in told
    assert b"forged" not in told
    assert b"mine" not in told
    assert all(re.fullmatch(rb"[0-9a-f]{32}", one) for one in re.findall(rb"x-request-id: (.*?)\r", told))


async def test_a_user_agent_is_kept_as_plain_text(anybody: Person, server: Attacked) -> None:
    """It is shown in me.sessions, and a terminal shows the log."""
    await anybody.signs_up()
    asked = {"query": SIGNIN, "variables": {"input": {"email": anybody.email, "password": PASSWORD}}}
    agents = {'Mozilla <script>alert(1)</script> "; DROP TABLE x; -- \x9b31m\u202e': 200, "\x1b[2J": 400, "a\x07": 400}

    for agent, status in agents.items():
        headers = {b"user-agent": agent.encode()}
        assert (await anybody.http.post("/graphql", json=asked, headers=headers)).status_code == status
    answer = await anybody.asks("{ me { sessions { userAgent } } }")

    kept = answer.data["me"]["sessions"][0]["userAgent"]
    assert kept.startswith("Mozilla <script>")
    assert kept.isprintable()
    assert "\x1b" not in server.log.read_text("utf-8")


async def test_no_line_of_the_log_is_a_clients(server: Attacked, http: httpx.AsyncClient) -> None:
    for path in ("/%0d%0aERROR:%20forged%20line", "/graphql?x=%0aERROR:%20forged%20line", "/%1b[2Jforged%20line"):
        await http.get(path)
    await http.post("/graphql", json={"query": "{ me { id } }", "operationName": "x\nERROR: forged line"})
    await server.sends(b"GET /\x0bforged\xc2\x85line HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    log = server.log.read_text("utf-8", "replace")
    assert not [line for line in log.splitlines() if "forged" in line and not line.startswith("20")]
    assert "\x1b" not in log


SMUGGLED = "POST /graphql HTTP/1.1\r\nHost: planner\r\nContent-Type: application/json\r\nConnection: close\r\n"
SECOND = "GET /smuggled HTTP/1.1\r\nHost: planner\r\n\r\n"
BODY = '{"query":"{me{id}}"}'
CHUNKED = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
SMUGGLING = {
    "both lengths, the first for chunks": (
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(CHUNKED)}\r\n",
        CHUNKED,
    ),
    "both lengths, the shorter one": ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", CHUNKED + SECOND),
    "both lengths, chunks that end at once": (
        f"Content-Length: {5 + len(SECOND)}\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n" + SECOND,
    ),
    "two lengths": (f"Content-Length: {len(BODY)}\r\nContent-Length: {len(BODY + SECOND)}\r\n", BODY + SECOND),
    "two lengths in one": (f"Content-Length: {len(BODY)}, {len(BODY + SECOND)}\r\n", BODY + SECOND),
    "a length with a sign": (f"Content-Length: +{len(BODY)}\r\n", BODY + SECOND),
    "a length below nought": ("Content-Length: -1\r\n", BODY + SECOND),
    "a length in hex": (f"Content-Length: 0x{len(BODY):x}\r\n", BODY + SECOND),
    "a length too large": (f"Content-Length: {2**64 + len(BODY)}\r\n", BODY + SECOND),
    "a blank before the colon": ("Transfer-Encoding : chunked\r\n", CHUNKED + SECOND),
    "another coding": ("Transfer-Encoding: xchunked\r\n", CHUNKED + SECOND),
    "chunked, but not last": ("Transfer-Encoding: chunked, identity\r\n", CHUNKED + SECOND),
    "chunked twice": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED + SECOND),
    "a chunk's length with a sign": ("Transfer-Encoding: chunked\r\n", f"+{CHUNKED}{SECOND}"),
    "a chunk's length below nought": ("Transfer-Encoding: chunked\r\n", f"-1\r\n{BODY}\r\n0\r\n\r\n{SECOND}"),
    "a chunk's length too large": ("Transfer-Encoding: chunked\r\n", f"1{'0' * 16}{CHUNKED}{SECOND}"),
    "a chunk without its end": ("Transfer-Encoding: chunked\r\n", f"{len(BODY):x}\r\n{BODY}X0\r\n\r\n{SECOND}"),
    "a header that is folded": (f"X-A: b\r\n Content-Length: 0\r\nContent-Length: {len(BODY)}\r\n", BODY + SECOND),
    "a header without a name": (f": x\r\nContent-Length: {len(BODY)}\r\n", BODY + SECOND),
    "a NUL in a name": (f"Content-Length\0: 0\r\nContent-Length: {len(BODY)}\r\n", BODY + SECOND),
}


@pytest.mark.parametrize(("head", "body"), SMUGGLING.values(), ids=SMUGGLING.keys())
async def test_a_request_of_two_lengths_is_one_request_or_none(server: Attacked, head: str, body: str) -> None:
    """Where a proxy and this server part ways about its end, the rest would be another visitor's request."""
    answer = await server.sends(f"{SMUGGLED}{head}\r\n{body}".encode("latin-1"))

    statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    assert len(statuses) <= 1
    assert set(statuses) <= {b"200", b"400", b"413"}
    assert b"404" not in answer  # /smuggled was never asked for


async def test_what_follows_a_refused_request_is_not_read(server: Attacked) -> None:
    """Though the client would go on: the connection is closed with the refusal."""
    keep = SMUGGLED.replace("Connection: close\r\n", "")
    answer = await server.sends(f"{keep}Content-Length: 2000000\r\n\r\n{SECOND}".encode())

    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"413"]


@pytest.mark.parametrize("path", ["/graphql", "/health/live", "/health/ready", "/.well-known/jwks.json", "/nowhere"])
async def test_each_answer_says_what_it_is(http: httpx.AsyncClient, path: str) -> None:
    for accept in ("*/*", "text/html"):
        answer = await http.get(path, headers={"accept": accept})
        kind = answer.headers["content-type"]
        if kind.startswith("text/"):
            assert kind.endswith("; charset=utf-8")
        else:  # JSON is UTF-8 whatever is said beside it (RFC 8259 §8.1)
            assert re.fullmatch(r"application/(json|jwk-set\+json|graphql-response\+json)(; charset=utf-8)?", kind)
            answer.json()
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers


async def test_each_file_of_the_explorer_says_what_it_is(http: httpx.AsyncClient) -> None:
    page = (await http.get("/graphql", headers={"accept": "text/html"})).text
    files = set(re.findall(r"/?graphql-assets/[\w./-]+", page))

    assert files
    for file in files:
        answer = await http.get(f"/{file.lstrip('/')}")
        kind = answer.headers["content-type"]
        assert kind.startswith("application/json") or kind.endswith("; charset=utf-8"), (file, kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
