"""Events that were asked for under a fault, what was answered, and whether the rows say the same."""

from collections import Counter
from dataclasses import dataclass, field

import httpx

from models.reads import dialect, query
from tests.journeys.history import NO_ANSWER
from tests.people import Person

CREATE = "mutation ($input: CreateEventInput!) { createEvent(input: $input) { id } }"
TAGS = ("one", "two")
NOBODY_KNOWS = frozenset({NO_ANSWER, "INTERNAL"})  # whether it was done; any other code says that it was not
ROWS = """SELECT e.id, e.title,
  (SELECT count(*) FROM event_tags WHERE event_id = e.id) AS tags,
  (SELECT count(*) FROM event_texts WHERE event_id = e.id) AS texts
FROM events e"""


@dataclass
class Created:
    """By the title, which is the idempotency key too where there is one: the code that was told (None: it is made), and
    the id."""

    told: dict[str, str | None] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    without_key: set[str] = field(default_factory=set)

    async def asks(
        self, person: Person, title: str, http: httpx.AsyncClient | None = None, *, with_key: bool = True
    ) -> str | None:
        asking = Person(http or person.http, person.username)
        asking.token = person.token
        said: dict[str, object] = {"title": title, "description": "", "location": "", "tags": TAGS}
        if with_key:
            said["idempotencyKey"] = title
        else:
            self.without_key.add(title)
        try:
            answer = await asking.asks(CREATE, input=said)
        except httpx.TransportError:
            self.told[title] = NO_ANSWER
            return NO_ANSWER
        self.told[title] = answer.code
        if answer.code is None:
            self.ids[title] = answer.data["createEvent"]["id"]
        return answer.code

    def codes(self) -> Counter[str | None]:
        return Counter(self.told.values())

    @property
    def unsure(self) -> list[str]:
        """Of which nobody knows whether they were made. By their key they can be asked for again."""
        return [title for title, code in self.told.items() if code in NOBODY_KNOWS and title not in self.without_key]

    @property
    def made(self) -> list[str]:
        """Of those with a key."""
        return [title for title, code in self.told.items() if code is None and title not in self.without_key]

    async def asks_again(self, person: Person, title: str) -> None:
        """As a client does that is not sure. What was made before is what is answered."""
        before = self.ids.get(title)
        assert await self.asks(person, title) is None
        assert before in (None, self.ids[title])

    async def faults(self) -> list[str]:
        """Every event that is lost, doubled, or there though it was told that it is not; and every one in pieces."""
        rows = await query(ROWS, [])
        kept = Counter(str(row["title"]) for row in rows)
        told = self.told.items()
        refused = [title for title, code in told if code not in {None, *NOBODY_KNOWS}]
        found = [f"{title} was answered and is lost" for title, code in told if code is None and not kept[title]]
        found += [f"{title} was refused and is there" for title in refused if kept[title]]
        found += [f"{title} is there {times} times" for title, times in kept.items() if times > 1]
        found += [f"{row['title']} is in pieces" for row in rows if (row["tags"], row["texts"]) != (len(TAGS), 1)]
        by_title = {str(row["title"]): str(row["id"]) for row in rows}
        found += [f"{title} is another event" for title, id in self.ids.items() if by_title.get(title) != id]
        return found + await _faults_of_the_file()


async def _faults_of_the_file() -> list[str]:
    """What SQLite finds wrong with its file and with the index of texts; PostgreSQL keeps its own in order."""
    if dialect() != "sqlite":
        return []
    # Raises where the index and the table that it is of part ways.
    await query("INSERT INTO event_grams (event_grams, rank) VALUES ('integrity-check', 1)", [])
    told = [row["integrity_check"] for row in await query("PRAGMA integrity_check", [])]
    orphans = await query("PRAGMA foreign_key_check", [])
    return [line for line in told if line != "ok"] + [str(dict(row)) for row in orphans]


async def is_found(person: Person, titles: list[str]) -> list[str]:
    """Those of the titles that the search does not find."""
    ask = "query ($q: String!) { events(search: $q, first: 50) { nodes { title } } }"
    missing = []
    for title in titles:
        nodes = (await person.asks(ask, q=title)).data["events"]["nodes"]
        if title not in [node["title"] for node in nodes]:
            missing.append(title)
    return missing
