"""From nothing to an event that only a signed-in user could make, against a real server."""

import hashlib
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from settings import Settings
from tests.conftest import Server
from tests.people import PASSWORD, SIGNIN, SIGNUP, Person

EVENT: dict[str, Any] = {
    "title": "FastAPI 책 출간 행사",
    "description": "저자와 함께 GraphQL로 행사 계획 앱을 만들어 봅니다.\n누구나 환영합니다 🎉",
    "tags": ["python", "fastapi", "책"],
    "location": "Google Meet",
}
LIST = "{ events { totalCount nodes { title description tags location creator { username } } } }"


async def test_sign_up_sign_in_and_publish(make_server: Callable[..., Server], settings: Settings) -> None:
    server = make_server(LOG_LEVEL="debug")  # the most that it ever logs
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        ana, anybody = Person(http, "ana"), Person(http)
        refresh_token = (await ana.signs_up()).data["signup"]["refreshToken"]
        assert (await anybody.signs_up(email="ana@test.com")).code == "EMAIL_TAKEN"
        assert (await anybody.signs_in(email="ana@test.com", password="not hers at all")).code == "INVALID_CREDENTIALS"
        assert (await ana.signs_in()).code is None

        assert (await anybody.tries_to_create(**EVENT)).code == "UNAUTHENTICATED"
        assert (await anybody.tries_to_create("Bearer xyz", **EVENT)).code == "TOKEN_INVALID"
        expired = await server.token_of("ana@test.com", age=timedelta(days=1))
        assert (await anybody.tries_to_create(f"Bearer {expired}", **EVENT)).code == "TOKEN_EXPIRED"
        assert (await anybody.asks(LIST)).data["events"]["totalCount"] == 0
        created = await ana.creates_event(**EVENT)
        assert created["creator"] == {"id": ana.id, "username": "ana"}

        expected = {"totalCount": 1, "nodes": [{**EVENT, "creator": {"username": "ana"}}]}
        assert (await anybody.asks(LIST)).data["events"] == expected

        # What people send where it does not belong is not kept either.
        for document in (SIGNUP, SIGNIN):
            inline = document.replace("$input: SignupInput!", "$unused: Int").replace(
                "$input: SigninInput!", "$unused: Int"
            )
            inline = inline.replace("input: $input", f'input: {{email: 3, password: "{PASSWORD}", username: "x"}}')
            assert (await anybody.asks(inline)).status in {200, 400}
        await http.get("/graphql", headers={"authorization": f"Bearer {ana.token}"})

        begun = time.perf_counter()
        assert await server.stop(signal.SIGINT) == 0
        assert time.perf_counter() - begun < 2

    log = server.log.read_text()
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await Person(http).asks(LIST)).data["events"] == expected
        again = Person(http, "ana")
        assert (await again.signs_in()).code is None
        again.token = ana.token  # a restart ends no session
        await again.creates_event()
    assert await server.stop(signal.SIGINT) == 0

    stored = await everything_stored(settings)
    for known in ("ana@test.com", EVENT["title"]):
        assert known.encode() in stored
    family, refresh_secret = refresh_token.split(".")
    for secret in (PASSWORD, family, refresh_secret, ana.token or ""):
        assert secret.encode() not in stored
    assert hashlib.sha256(family.encode()).hexdigest().encode() in stored

    log += server.log.read_text()
    assert "Traceback" not in log
    assert log.count("Finished server process") == 2  # of both runs
    for secret in (
        PASSWORD,
        "bcrypt",
        "eyJ",
        family,
        refresh_secret,
        ana.token or "",
        expired,
        settings.secret_key,
        "ana@test.com",
    ):
        assert secret not in log


async def everything_stored(settings: Settings) -> bytes:
    """SQLite: the bytes of its files, so that pages given up and the log of writes count too. PostgreSQL: every row."""
    if settings.database_url.startswith("sqlite"):
        file = Path(settings.database_url.removeprefix("sqlite://"))
        return b"".join(one.read_bytes() for one in sorted(file.parent.glob(f"{file.name}*")))
    connection = await asyncpg.connect(settings.database_url)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        rows = [await connection.fetch(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]  # noqa: S608 - its own names
    finally:
        await connection.close()
    return "\n".join(row["row"] for table in rows for row in table).encode()
