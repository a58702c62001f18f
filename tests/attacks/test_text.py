"""Text that means something to others (SQL, HTML, a terminal) is text here."""

import httpx
import pytest

from tests.attacks.conftest import on_sqlite
from tests.attacks.published import Published
from tests.people import Person

SQL = [
    "'",
    '"',
    "''; DROP TABLE users; --",
    "' OR '1'='1",
    '" OR ""="',
    "') OR 1=1 --",
    "1); DELETE FROM events; --",
    "%",
    "_",
    "\\",
    "\\'",
    "$1",
    "?",
    "%s %(x)s {x}",
    "::int",
    "/* */",
    "x' || (SELECT email FROM users LIMIT 1) || 'x",
    "pg_sleep(5)",
    "'; SELECT pg_sleep(5); --",
    "ＡＮＤ ＇１＇＝＇１",
    "* OR a NEAR b",
    "a:* & !b | (",
    '"unbalanced',
]
HASHED = {"signup", "signin", "changePassword", "deleteAccount"}  # 60 ms each
HTML = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><!--",
    "javascript:alert(1)",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "&lt;b&gt;",
    "+ADw-script+AD4-",
]


async def test_every_argument_takes_sql_as_text(ana: Person, published: Published) -> None:
    """Whatever a field thinks of it, it is no fault of the server's, and it is all still there."""
    event = await ana.creates_event(title="Ana's")
    tried = 0
    for kind in ("query", "mutation"):
        for name, at in published.arguments(kind, "String"):
            for text in SQL[:: 6 if name in HASHED else 1]:
                document, variables = published.call(kind, name, at, text)
                answer = await ana.asks(document, **variables)
                assert answer.code not in {"INTERNAL", "UNAVAILABLE", "GRAPHQL_INVALID"}, (name, at, text)
                tried += 1

    assert tried > 10 * len(SQL)
    assert await ana.sees(event) == event
    assert (await ana.asks("{ me { username } }")).data == {"me": {"username": "ana"}}


@pytest.mark.parametrize("text", [*SQL, *HTML])
async def test_text_comes_back_as_it_came(ana: Person, text: str) -> None:
    changes = {"title": text, "description": text, "location": text, "tags": [text]}

    event = await ana.creates_event(**changes)

    assert {name: event[name] for name in changes} == changes
    assert await ana.sees(event) == event
    answer = (await ana.asks("query ($t: String!) { tags(startsWith: $t, first: 100) { tag } }", t=text)).data
    assert text.casefold()[:1] in "".join(tag["tag"] for tag in answer["tags"]) or answer["tags"]


async def test_a_pattern_matches_itself_alone(ana: Person, anybody: Person) -> None:
    await ana.creates_event(tags=["no pattern in it"])
    tags = "query ($t: String!) { tags(startsWith: $t) { tag } }"

    for wild in ("%pattern", "no%", "_o pattern", "no*", "no pattern in i_"):
        assert (await anybody.asks(tags, t=wild)).data == {"tags": []}
    for wild in ("%", "_na", "a%", "*", "ana' --"):
        assert (await anybody.asks("query ($u: String!) { user(username: $u) { id } }", u=wild)).data == {"user": None}


async def test_html_is_data_in_an_answer_that_no_browser_renders(ana: Person, http: httpx.AsyncClient) -> None:
    script = HTML[0]
    event = await ana.creates_event(title=script)

    for accept in ("*/*", "application/json", "application/graphql-response+json", "text/html, */*"):
        answer = await http.get(
            "/graphql", params={"query": f'{{ event(id: "{event["id"]}") {{ title }} }}'}, headers={"accept": accept}
        )
        assert answer.json() == {"data": {"event": {"title": script}}}
        assert answer.headers["content-type"].startswith(("application/json", "application/graphql-response+json"))
        assert answer.headers["x-content-type-options"] == "nosniff"


@on_sqlite
@pytest.mark.parametrize("html", HTML)
async def test_what_is_refused_is_not_rendered_either(http: httpx.AsyncClient, html: str) -> None:
    """Errors repeat what was sent: the address, the document, its names and values, the operation's name."""
    asked = {"query": html, "operationName": html, "variables": html, "extensions": html}
    answers = [
        await http.get("/graphql", params={"query": "{ me { id } }", name: text}) for name, text in asked.items()
    ]
    answers += [
        await http.post("/graphql", json={"query": "{ me { id } }", name: text}) for name, text in asked.items()
    ]
    answers.append(
        await http.post("/graphql", json={"query": "query ($x: Int) { me { id } }", "variables": {"x": html}})
    )
    answers.append(await http.post("/graphql", content=html, headers={"content-type": html}))
    answers.append(await http.get(f"/{html}"))
    answers.append(await http.get("/graphql", params={"x": html}, headers={"accept": "text/html"}))

    for answer in answers[:-1]:
        assert answer.headers["content-type"].startswith(("application/json", "application/graphql-response+json"))
        assert html not in str(answer.headers)
    page = answers[-1]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert html not in page.text


@on_sqlite
@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "vbscript:x",
        "data:text/html,x",
        "file:///x",
        "//evil.test/x",
        "http:evil",
        "http://evil.test/\r\nx",
        "http://a\tb/",
    ],
)
async def test_no_picture_is_a_script(ana: Person, address: str) -> None:
    assert (await ana.tries_to_create(image=address)).fields.keys() == {"image"}
