"""What the servers are asked, who of them does it, and when two of their answers are the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import Any

import orjson

from bench.data import NAMED, Account, Data
from bench.http import Request, Response
from bench.rivals import LIMIT, OURS, PLAIN, REST, Rival

NODE = "id title description location tags startsAt createdAt creator { id username }"
WHOLE = (
    "id title image description tags location creator { id username } startsAt endsAt timeZone status capacity"
    " confirmedCount waitlistCount version createdAt updatedAt"
)
MADE_ANEW = frozenset({"id", "createdAt"})  # of what is written, other for each


@dataclass(frozen=True)
class Known:
    """What the works ask about. A rival has hot events of its own, since all share one table."""

    data: Data
    tokens: dict[Account, str]
    half_way: str  # a cursor of the newest first

    @property
    def viewers_token(self) -> str:
        return self.tokens[self.data.viewer]


@dataclass(frozen=True)
class Asked:
    """Once: the document's variables, and who asks."""

    variables: dict[str, Any]
    token: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True)
class Work:
    """`shown` is where the answer stands below `data`. `rest` is how it is asked without GraphQL: method, path,
    body."""

    name: str
    document: str
    shown: tuple[str, ...]
    asked: Callable[[Known, Rival], Iterator[Asked]]
    rivals: tuple[Rival, ...] = (LIMIT, OURS)
    rest: Callable[[dict[str, Any]], tuple[str, str, Any]] | None = None
    writes: bool = False
    beside: str = ""  # works with the same are measured in turns with each other

    @property
    def slug(self) -> str:
        return self.name.replace(" ", "-")

    def requests(self, known: Known, rival: Rival) -> Iterator[Request]:
        return (self._request(one, rival) for one in self.asked(known, rival))

    def octets(self, known: Known, rival: Rival) -> Iterator[bytes]:
        if self.writes:
            return (request.octets for request in self.requests(known, rival))
        return repeat(next(self.requests(known, rival)).octets)

    def said(self, rival: Rival, response: Response) -> Any:
        """Equal for equal answers. Raises ValueError where something went wrong."""
        # One instant, two spellings: Strawberry's own type ends it with an offset, the planner with Z (RFC 3339 §4.3).
        body = response.body.replace(b'+00:00"', b'Z"')
        if response.status != 200 or not body.startswith((b"{", b"[")):
            raise ValueError(f"{self.name}: {rival.name} answers {response.status} {body[:500]!r}")
        told = orjson.loads(body)
        if rival is not REST:
            if "errors" in told or not told.get("data"):
                raise ValueError(f"{self.name}: {rival.name} answers {body[:500]!r}")
            told = told["data"]
            for part in self.shown:
                told = told[part]
        if self.writes:
            return {key: value for key, value in told.items() if key not in MADE_ANEW}
        return told

    def is_right(self, first: Response) -> Callable[[Response], bool]:
        """Of a read: the same octets each time. What is written is another thing each time."""
        if self.writes:
            return lambda response: response.status == 200 and b'"errors"' not in response.body
        return lambda response: response.body == first.body and response.status == first.status

    def _request(self, asked: Asked, rival: Rival) -> Request:
        if rival is REST:
            assert self.rest is not None  # noqa: S101 - else it is not among the rivals
            method, path, said = self.rest(asked.variables)
            return Request(method, path, orjson.dumps(said) if said is not None else b"", asked.headers)
        body = orjson.dumps({"query": self.document, "variables": asked.variables})
        return Request("POST", f"/{self.slug}" if rival is LIMIT else "/graphql", body, asked.headers)


def _nothing(known: Known, rival: Rival) -> Iterator[Asked]:
    return repeat(Asked({}))


def _an_event(known: Known, rival: Rival) -> Iterator[Asked]:
    return repeat(Asked({"id": str(known.data.an_event_id)}))


def _first(number: int) -> Callable[[Known, Rival], Iterator[Asked]]:
    return lambda known, rival: repeat(Asked({"first": number}))


def _first_of_viewer(known: Known, rival: Rival) -> Iterator[Asked]:
    return repeat(Asked({"first": 20}, known.viewers_token))


def _behind(known: Known, rival: Rival) -> Iterator[Asked]:
    return repeat(Asked({"after": known.half_way}))


def _words(known: Known, rival: Rival) -> Iterator[Asked]:
    return repeat(Asked({"search": f"no{NAMED // 2:02}r 이야기"}))


def _tag(known: Known, rival: Rival) -> Iterator[Asked]:
    return repeat(Asked({"tag": "python", "since": "2026-01-20T00:00:00Z"}))


def _new_events(known: Known, rival: Rival) -> Iterator[Asked]:
    inputs = [
        {
            "title": f"An evening with code and 이야기, the {number}th",
            "description": "Come with a friend, bring a question, and leave with a better one. " * 2,
            "tags": ["graphql", "python", "모임"],
            "location": "서울 강남구 테헤란로 1",
            "startsAt": f"2027-05-{number:02}T18:30:00Z",
            "timeZone": "Asia/Seoul",
        }
        for number in range(1, 29)
    ]
    return (Asked({"input": one}, known.viewers_token) for one in cycle(inputs))


def _places(known: Known, rival: Rival) -> Iterator[Asked]:
    """Everybody at one event, then everybody at the next."""
    number = (LIMIT, OURS).index(rival)
    return (Asked({"id": str(id_)}, token) for id_ in known.data.hot_ids[number::2] for token in known.tokens.values())


PAGE = f"query ($after: String) {{ events(first: 20, after: $after) {{ nodes {{ {NODE} }} }} }}"
LIST = f"query ($first: Int!) {{ events(first: $first) {{ nodes {{ {NODE} }} }} }}"
WORKS = (
    Work("typename", "{ __typename }", ("__typename",), _nothing, (LIMIT, OURS, PLAIN)),
    Work(
        "one event",
        f"query ($id: ID!) {{ event(id: $id) {{ {WHOLE} }} }}",
        ("event",),
        _an_event,
        (LIMIT, OURS, PLAIN, REST),
        rest=lambda said: ("GET", f"/events/{said['id']}", None),
    ),
    Work(
        "list of 20",
        LIST,
        ("events", "nodes"),
        _first(20),
        (LIMIT, OURS, PLAIN, REST),
        rest=lambda said: ("GET", f"/events?first={said['first']}", None),
    ),
    Work("list of 100", LIST, ("events", "nodes"), _first(100), (LIMIT, OURS, PLAIN)),
    Work(
        "viewer fields",
        LIST.replace(NODE, f"{NODE} canEdit myRsvp {{ id status }}"),
        ("events", "nodes"),
        _first_of_viewer,
    ),
    Work("first page", PAGE, ("events", "nodes"), lambda known, rival: repeat(Asked({"after": None})), beside="pages"),
    Work("deep page", PAGE, ("events", "nodes"), _behind, beside="pages"),
    Work(
        "search",
        f"query ($search: String!) {{ events(search: $search, first: 20) {{ nodes {{ {NODE} }} }} }}",
        ("events", "nodes"),
        _words,
    ),
    Work(
        "totalCount",
        "query ($tag: String!, $since: DateTime!) {"
        " events(filter: {tagsAny: [$tag], startsAt: {from: $since}}) { totalCount } }",
        ("events",),
        _tag,
    ),
    Work(
        "createEvent",
        f"mutation ($input: CreateEventInput!) {{ createEvent(input: $input) {{ {NODE} }} }}",
        ("createEvent",),
        _new_events,
        (LIMIT, OURS, PLAIN, REST),
        rest=lambda said: ("POST", "/events", said["input"]),
        writes=True,
    ),
    Work(
        "rsvp",
        "mutation ($id: ID!) { rsvp(eventId: $id) { id status } }",
        ("rsvp",),
        _places,
        writes=True,
    ),
)
