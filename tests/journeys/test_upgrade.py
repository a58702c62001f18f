"""A rolling upgrade: a server of the release before goes on beside one of today's; and today's go on, and start anew,
where a later release has migrated."""

import asyncio
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from tortoise import Tortoise

import models
from models.reads import query
from settings import ROOT, Settings
from tests.conftest import Server
from tests.people import PASSWORD, SIGNIN, Person

GIT = ("git", "-C", ROOT)
RELEASE = "0.2.0"  # the oldest whose servers may go on beside today's, by docs/operations.md
REFRESH = "mutation ($token: String!) { refresh(refreshToken: $token) { accessToken refreshToken } }"
FOUND = """query ($q: String!) { events(search: $q, filter: {tagsAny: ["Common"]}, orderBy: {field: TITLE}) {
  totalCount nodes { title }
} }"""
COUNTED = """SELECT e.title, e.confirmed_count, e.waitlist_count, e.tickets, count(r.ticket) AS places,
  count(CASE WHEN r.status = 'CONFIRMED' THEN 1 END) AS confirmed,
  count(CASE WHEN r.status = 'WAITLISTED' THEN 1 END) AS waitlisted,
  count(DISTINCT r.ticket) AS different, max(r.ticket) AS last
FROM events e JOIN rsvps r ON r.event_id = e.id GROUP BY e.id"""

# What a migration may do, by docs/operations.md.
LATER = (
    "ALTER TABLE events ADD COLUMN note varchar(200)",
    "ALTER TABLE users ADD COLUMN points integer NOT NULL DEFAULT 0",
    "CREATE TABLE badges (id integer PRIMARY KEY)",
    "CREATE INDEX badges_of_users ON users (points)",
    "INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('models', '9999_later', '2030-01-01')",
)

on_postgresql = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


class Former(Server):
    """One of an earlier release, as the history has it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings, folder)
        self.root = folder / RELEASE
        with tarfile.open(fileobj=BytesIO(_git("archive", _commit()))) as archive:
            archive.extractall(self.root, filter="data")


def _commit() -> str:
    """Of which the release was made."""
    if not (ROOT / ".git").exists() or b"true" in _git("rev-parse", "--is-shallow-repository"):
        # Nothing else has an earlier release's code. The one thing of which such a checkout tells, rather than fails.
        pytest.skip(f"This checkout has no history, and so no {RELEASE}. Run the tests in a whole clone.")
    [first, *_] = _git("log", "--reverse", "--format=%H", f'-Sversion = "{RELEASE}"', "--", "pyproject.toml").split()
    return first.decode()


def _git(*arguments: str) -> bytes:
    return subprocess.run([*GIT, *arguments], capture_output=True, check=True).stdout


@pytest.fixture
async def releases(
    settings: Settings, make_server: Callable[..., Server], tmp_path: Path
) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of two servers on one database: of the release before, and of today."""
    former, today = Former(settings, tmp_path), make_server()
    try:
        await asyncio.gather(former.start(), today.start())
        async with (
            httpx.AsyncClient(base_url=former.url, timeout=20) as one,
            httpx.AsyncClient(base_url=today.url, timeout=20) as other,
        ):
            yield [one, other]
    finally:
        former.kill()


def at(http: httpx.AsyncClient, person: Person) -> Person:
    """The same person, who asks there."""
    there = Person(http, person.username)
    there.token = person.token
    return there


@on_postgresql
async def test_the_release_before_and_today_write_to_one_database(
    releases: list[httpx.AsyncClient], database: Settings
) -> None:
    people = [Person(releases[number % 2], f"guest{number}") for number in range(6)]
    for person in people:
        assert (await person.signs_up()).code is None
    titles = ["A talk of old", "A talk of today"]
    events = [
        await person.creates_event(title=title, tags=["common", title], capacity=2)
        for person, title in zip(people, titles, strict=False)
    ]

    async def comes_and_goes(number: int, event: dict[str, str]) -> None:
        for turn in range(6):
            person = at(releases[(number + turn) % 2], people[number])
            answer = await (person.cancels_rsvp(event) if turn % 2 else person.rsvps(event))
            assert answer.code is None

    await asyncio.gather(*(comes_and_goes(number, event) for number in range(6) for event in events))
    for number, person in enumerate(people):
        for event in events:
            assert (await at(releases[number % 2], person).rsvps(event)).code is None
    for http, person, event in zip(reversed(releases), people, events, strict=False):  # each at the other's
        assert (await at(http, person).updates(event, if_version=1, capacity=4)).code is None

    for event in events:
        seen = [await at(http, people[0]).sees(event) for http in releases]
        assert seen[0] == seen[1]
        assert [seen[0][name] for name in ("version", "confirmedCount", "waitlistCount")] == [2, 4, 2]
        places = [[await at(http, person).place_at(event) for person in people] for http in releases]
        assert places[0] == places[1] == [("CONFIRMED", None)] * 4 + [("WAITLISTED", 1), ("WAITLISTED", 2)]
    for http in releases:
        found = (await Person(http).asks(FOUND, q="talk")).data["events"]
        assert found == {"totalCount": 2, "nodes": [{"title": title} for title in titles]}
    for row in await query(COUNTED, []):
        assert (row["confirmed_count"], row["waitlist_count"]) == (row["confirmed"], row["waitlisted"])
        assert row["places"] == row["different"]
        assert row["tickets"] >= row["last"]


@on_postgresql
async def test_a_session_of_either_release_is_good_at_both(releases: list[httpx.AsyncClient]) -> None:
    for one, other in (releases, releases[::-1]):
        ana = Person(one)
        await ana.signs_up()
        signed_in = (await ana.asks(SIGNIN, input={"email": ana.email, "password": PASSWORD})).data["signin"]

        there = at(other, ana)
        first = (await there.asks(REFRESH, token=signed_in["refreshToken"])).data["refresh"]
        second = (await ana.asks(REFRESH, token=first["refreshToken"])).data["refresh"]
        there.token = second["accessToken"]
        assert (await there.tries_to_create()).code is None
        assert (await there.asks("mutation { signout { sessionsEnded } }")).code is None
        ana.token = second["accessToken"]
        assert (await ana.tries_to_create()).code == "TOKEN_REVOKED"


@pytest.fixture
async def running(make_server: Callable[..., Server]) -> Server:
    server = make_server()
    await server.start()
    return server


async def test_servers_of_both_releases_serve_one_database(
    running: Server, settings: Settings, make_server: Callable[..., Server]
) -> None:
    async with httpx.AsyncClient(base_url=running.url, timeout=20) as http:
        ana = Person(http, "ana")
        await ana.signs_up()
        await ana.creates_event(tags=["kept"])
        await models.open_database(settings)
        try:
            for statement in LATER:
                await Tortoise.get_connection("default").execute_script(statement)
            before = await ana.creates_event(tags=["kept"])  # on statements that were prepared before
            started = make_server()
            await started.start()
            async with httpx.AsyncClient(base_url=started.url, timeout=20) as other:
                ana.http = other
                assert (await ana.sees(before))["tags"] == ["kept"]
                assert (await ana.tries_to_create(tags=["kept"])).code is None
                assert (await Person(other, "ben").signs_up()).code is None
        finally:
            await undo(settings)
            await models.close_database()


async def undo(settings: Settings) -> None:
    """The tests of PostgreSQL share one database."""
    if settings.database_url.startswith("sqlite"):
        return
    for statement in (
        "ALTER TABLE events DROP COLUMN note",
        "DROP TABLE badges",
        "ALTER TABLE users DROP COLUMN points",
        "DELETE FROM tortoise_migrations WHERE name = '9999_later'",
    ):
        await Tortoise.get_connection("default").execute_script(statement)
