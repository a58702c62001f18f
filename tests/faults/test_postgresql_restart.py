"""PostgreSQL goes away under a running server's load, and comes back."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import pytest

import models
from tests.conftest import Server, settings_of
from tests.faults.postgresql import OwnPostgreSQL
from tests.people import Person
from tests.pgbouncer import pgbouncer

WITHIN_SECONDS = 5
BEHIND_PGBOUNCER_SECONDS = 8
LIST = "{ events(first: 5) { totalCount nodes { title creator { username } } } }"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[OwnPostgreSQL]:
    with OwnPostgreSQL() as server:
        asyncio.run(models.migrate(settings_of(server.url), lambda name: None))
        yield server


@pytest.fixture
async def server(postgresql: OwnPostgreSQL, tmp_path: Path) -> AsyncIterator[Server]:
    running = Server(settings_of(postgresql.url), tmp_path)
    await running.start()
    yield running
    running.kill()


@dataclass
class Load:
    """People who read and write until it is over, and what they were told."""

    http: httpx.AsyncClient
    answers: list[tuple[float, str, str | None]] = field(default_factory=list)
    told: dict[str, str | None] = field(default_factory=dict)
    slowest: float = 0
    is_over: bool = False
    good: dict[str, asyncio.Event] = field(default_factory=lambda: {"read": asyncio.Event(), "write": asyncio.Event()})

    async def read(self) -> None:
        person = Person(self.http)
        while not self.is_over:
            begun = time.perf_counter()
            answer = await person.asks(LIST)
            codes = {error["extensions"]["code"] for error in answer.errors}
            self._note("read", begun, codes.pop() if codes else None)

    async def write(self, person: Person) -> None:
        number = 0
        while not self.is_over:
            number += 1
            title, begun = f"{person.username} {number}", time.perf_counter()
            self.told[title] = (await person.tries_to_create(title=title, tags=["one", "two"])).code
            self._note("write", begun, self.told[title])

    def _note(self, kind: str, begun: float, code: str | None) -> None:
        now = time.perf_counter()
        self.answers.append((now, kind, code))
        self.slowest = max(self.slowest, now - begun)
        if code is None:
            self.good[kind].set()

    def codes(self, kind: str) -> Counter[str | None]:
        return Counter(code for _, of, code in self.answers if of == kind)

    async def answers_well(self) -> None:
        """Returns once a read and a write that end from now on have."""
        for good in self.good.values():
            good.clear()
        for good in self.good.values():
            await good.wait()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_it_goes_on_by_itself_and_says_the_truth(postgresql: OwnPostgreSQL, server: Server, mode: str) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        people = [Person(http, f"{mode}{n}") for n in range(4)]
        for person in people:
            await person.signs_up()
        load = Load(http)
        busy = [asyncio.ensure_future(load.read()) for _ in range(6)]
        busy += [asyncio.ensure_future(load.write(person)) for person in people]
        await asyncio.sleep(1)

        other = await asyncpg.connect(postgresql.url)
        await other.execute("BEGIN; LOCK TABLE events")
        await asyncio.sleep(0.3)  # everybody's statement is under way now
        await asyncio.to_thread(postgresql.stop, mode)
        other.terminate()
        while_down = await http.get("/health/ready")
        await asyncio.sleep(1)
        await asyncio.to_thread(postgresql.start)
        async with asyncio.timeout(WITHIN_SECONDS):
            await load.answers_well()
        recovered = time.perf_counter()
        await asyncio.sleep(1)
        load.is_over = True
        async with asyncio.timeout(20):
            await asyncio.gather(*busy)
        afterwards = await http.get("/health/ready")

    assert (while_down.status_code, afterwards.status_code) == (503, 200)
    assert not [code for at, _, code in load.answers if at > recovered and code]  # recovered is recovered
    assert set(load.codes("read")) == {None, "UNAVAILABLE"}
    # Where the connection ended with the one statement of a write under way, or with its COMMIT, nobody knows whether
    # it was done. So that is INTERNAL: at most one a writer.
    assert set(load.codes("write")) <= {None, "UNAVAILABLE", "INTERNAL"}
    assert load.codes("write")["INTERNAL"] <= len(people)
    assert load.slowest < server.settings.database_wait_seconds + 2
    await counted_as_told(postgresql.url, load)


async def test_behind_pgbouncer_too_it_is_over_soon(postgresql: OwnPostgreSQL, tmp_path: Path) -> None:
    """With the settings of docs/operations.md; by its own, PgBouncer waits 15 s before it connects again."""
    async with pgbouncer(postgresql.url, tmp_path) as address:
        server = Server(settings_of(address), tmp_path, DATABASE_STATEMENT_CACHE="0")
        try:
            await server.start()
            async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
                people = [Person(http, f"bouncer{n}") for n in range(2)]
                for person in people:
                    await person.signs_up()
                load = Load(http)
                busy = [asyncio.ensure_future(load.read()) for _ in range(4)]
                busy += [asyncio.ensure_future(load.write(person)) for person in people]
                await load.answers_well()

                await asyncio.to_thread(postgresql.stop, "fast")
                await asyncio.sleep(1)
                await asyncio.to_thread(postgresql.start)
                async with asyncio.timeout(BEHIND_PGBOUNCER_SECONDS):
                    await load.answers_well()
                load.is_over = True
                async with asyncio.timeout(20):
                    await asyncio.gather(*busy)
        finally:
            server.kill()

    assert load.slowest < server.settings.database_wait_seconds + 2
    await counted_as_told(postgresql.url, load)


async def counted_as_told(url: str, load: Load) -> None:
    """No acknowledged write is lost, none is doubled, and what was told UNAVAILABLE was not done."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT title, (SELECT count(*) FROM event_tags WHERE event_id = events.id) AS tags FROM events"
        " WHERE title = ANY($1::text[])",
        [*load.told],
    )
    await connection.close()
    kept = Counter(row["title"] for row in rows)

    assert max(kept.values()) == 1
    assert not {title for title, code in load.told.items() if code is None} - kept.keys()
    assert not {title for title, code in load.told.items() if code == "UNAVAILABLE"} & kept.keys()
    assert {row["tags"] for row in rows} == {2}
