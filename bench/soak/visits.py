"""What people do on a visit, what programs ask, and what is sent by those who are to be refused."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from bench.soak.listeners import hears_a_stream, hears_on_a_socket, talks_nonsense
from bench.soak.load import Load, Unexpected, Visit, ask
from tests.journeys.history import History, Seats
from tests.people import EVENT, PASSWORD, PLACE, SIGNIN, Person

LIST = f"""query Soak($filter: EventFilter, $search: String, $orderBy: EventOrder!, $after: String) {{
  events(filter: $filter, search: $search, orderBy: $orderBy, first: 20, after: $after) {{
    nodes {EVENT} pageInfo {{ hasNextPage endCursor }}
  }}
}}"""
ORDERS = [
    {"field": field, "direction": direction}
    for field in ("CREATED_AT", "STARTS_AT", "TITLE", "CONFIRMED_COUNT")
    for direction in ("ASC", "DESC")
]
FILTERS: tuple[dict[str, object], ...] = (
    {},
    {"tagsAny": ["python", "책"]},
    {"tagsAll": ["jazz", "food"]},
    {"location": "berlin"},
    {"startsAt": {"from": "2026-02-01T00:00:00Z", "before": "2026-03-01T00:00:00Z"}},
    {"status": ["SCHEDULED"], "hasSeats": True},
)
MINE = """{
  me { username calendarUrl sessions { id current } rsvps(first: 10) { totalCount nodes { status event { title } } } }
  events(first: 20) { nodes { id title canEdit myRsvp { status waitlistPosition } clashes { id } } }
}"""
REFRESH = "mutation ($token: String!) { refresh(refreshToken: $token) { accessToken refreshToken } }"
GUESTS, SEATS = 5, 2
INVENTED = 40  # documents on a visit: two stores of 1,024 are full after a few minutes


def new_event(load: Load, **changes: object) -> dict[str, object]:
    number = next(load.numbers)
    starts = datetime.now(UTC) + timedelta(days=1 + number % 60)
    said = {"title": f"Evening {number}", "description": "Come with a friend. " * 10, "tags": ["python", "soak"]}
    return {**said, "location": "Berlin", "startsAt": starts.isoformat(), "timeZone": "Europe/Berlin", **changes}


async def looks_around(load: Load) -> None:
    async with load.stranger() as stranger:
        for _ in range(3):
            order, filter = load.chance.choice(ORDERS), load.chance.choice(FILTERS)
            after = None
            for _ in range(load.chance.randint(1, 3)):
                page = (await ask(stranger, LIST, filter=filter, orderBy=order, after=after))["events"]
                after = page["pageInfo"]["endCursor"]
                if not page["pageInfo"]["hasNextPage"]:
                    break
        await ask(stranger, LIST, search=f"no{load.chance.randrange(100):02}r 이야기", orderBy=ORDERS[0])
        await ask(stranger, '{ tags(startsWith: "p") { tag count } events { totalCount } }')
        user = load.chance.choice(load.data.accounts).name
        await ask(stranger, "query ($u: String!) { user(username: $u) { events { nodes { title } } } }", u=user)
        event = str(load.data.an_event_id)
        await ask(stranger, f"query ($id: ID!) {{ event(id: $id) {EVENT} }}", id=event)
        response = await stranger.http.get("/graphql", params={"query": "{ __typename }"})
        if response.json() != {"data": {"__typename": "Query"}}:
            raise Unexpected(response.text[:200])


async def comes_home(load: Load) -> None:
    """Signs in, stays past a refresh, and signs out, most of the time."""
    async with load.member(signed_in=False) as member:
        tokens = (await ask(member, SIGNIN, input={"email": member.email, "password": PASSWORD}))["signin"]
        for _ in range(2):
            member.token = tokens["accessToken"]
            for _ in range(3):
                await ask(member, MINE)
            tokens = (await ask(member, REFRESH, token=tokens["refreshToken"]))["refresh"]
        member.token = tokens["accessToken"]
        if load.chance.random() < 0.9:
            await ask(member, "mutation { signout { sessionsEnded } }")
            await ask(member, "mutation { signout { sessionsEnded } }", "TOKEN_REVOKED")
            await ask(member, REFRESH, "TOKEN_INVALID", token=tokens["refreshToken"])


async def publishes(load: Load) -> None:
    create = f"mutation ($input: CreateEventInput!) {{ createEvent(input: $input) {EVENT} }}"
    update = f"mutation ($id: ID!, $input: UpdateEventInput!) {{ updateEvent(id: $id, input: $input) {EVENT} }}"
    cancel = "mutation ($id: ID!) { cancelEvent(id: $id) { status } }"
    delete = "mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }"
    async with load.member() as member:
        said = new_event(load, idempotencyKey=f"key {next(load.numbers)}")
        event = (await ask(member, create, input=said))["createEvent"]
        if (await ask(member, create, input=said))["createEvent"]["id"] != event["id"]:
            raise Unexpected("One key made two events.")
        await ask(member, create, "VALIDATION", input=new_event(load, title=""))
        change = {"title": "Another evening", "tags": ["음악"], "ifVersion": event["version"]}
        await ask(member, update, id=event["id"], input=change)
        await ask(member, update, "CONFLICT", id=event["id"], input={**change, "title": "Too late"})
        await ask(load.person(member.http), update, "FORBIDDEN", id=event["id"], input=change)
        if load.chance.random() < 0.5:
            await ask(member, cancel, id=event["id"])
            await ask(member, update, "EVENT_CANCELLED", id=event["id"], input={"title": "After all"})
        if load.chance.random() < 0.8:
            await ask(member, delete, id=event["id"])
            await ask(member, delete, "NOT_FOUND", id=event["id"])


async def shares_seats(load: Load) -> None:
    """More people than seats, all at once, while the organiser changes how many there are. It is kept as history."""
    async with AsyncExitStack() as stack:
        organiser = await stack.enter_async_context(load.member())
        guests = [await stack.enter_async_context(load.member()) for _ in range(GUESTS)]
        create = "mutation ($input: CreateEventInput!) { createEvent(input: $input) { id } }"
        event = (await ask(organiser, create, input=new_event(load, capacity=SEATS)))["createEvent"]["id"]
        history = load.histories[event] = History()

        async def wavers(guest: Person) -> None:
            await history.asks(guest, "rsvp", event)
            if load.chance.random() < 0.5:
                await history.asks(guest, "cancelRsvp", event)
                await history.asks(guest, "rsvp", event)

        changes = [history.asks(organiser, "updateEvent", event, capacity=number) for number in (SEATS + 1, SEATS)]
        await asyncio.gather(*(wavers(guest) for guest in guests), *changes)
        attendees = f"query ($id: ID!) {{ event(id: $id) {{ attendees {{ totalCount nodes {PLACE} }} }} }}"
        await ask(organiser, attendees, id=event)


def seats_at_first() -> Seats:
    return Seats(SEATS)


async def joins_and_leaves(load: Load) -> None:
    change = "mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { accessToken } }"
    async with load.stranger() as newcomer:
        await ask(newcomer, "mutation { rotateCalendarUrl { id } }", "UNAUTHENTICATED")
        if (await newcomer.signs_up()).code:
            raise Unexpected("Nobody may sign up.")
        await ask(newcomer, "mutation { rotateCalendarUrl { calendarUrl } }")
        said = {"currentPassword": PASSWORD, "newPassword": f"{PASSWORD} too"}
        newcomer.token = (await ask(newcomer, change, input=said))["changePassword"]["accessToken"]
        leave = "mutation ($p: String!) { deleteAccount(password: $p) { deletedId } }"
        await ask(newcomer, leave, "INVALID_CREDENTIALS", p=PASSWORD)
        await ask(newcomer, leave, p=f"{PASSWORD} too")


async def follows_a_calendar(load: Load) -> None:
    """As a calendar program does: whole, then by its tag, for a list, an event and an account."""
    asked = "query ($tags: [String!]) { events(filter: {tagsAny: $tags}, first: 1) { icsUrl nodes { icsUrl } } }"
    renew = "mutation { rotateCalendarUrl { calendarUrl } }"
    async with load.member() as member:
        # A list of its own now and then, so that no feed is asked for by everybody.
        tags = ["calendar", *([f"soak {next(load.numbers)}"] if load.chance.random() < 0.5 else [])]
        events = (await ask(member, asked, tags=tags))["events"]
        account = await ask(member, renew)
        for url in (events["icsUrl"], events["nodes"][0]["icsUrl"], account["rotateCalendarUrl"]["calendarUrl"]):
            path = urlsplit(url).path
            whole = await member.http.get(path)
            again = await member.http.get(path, headers={"if-none-match": whole.headers["etag"]})
            # Others may have changed something in between.
            if whole.status_code != 200 or again.status_code not in {200, 304} or b"END:VCALENDAR" not in whole.content:
                raise Unexpected(f"{path} answers {whole.status_code}, then {again.status_code}")
        if (await member.http.get("/calendars/1/invented.ics")).status_code != 404:
            raise Unexpected("An invented calendar is there.")


async def sends_what_is_refused(load: Load) -> None:
    deep = "attendees(first: 100) { nodes { user { events(first: 100) { nodes { id title } } } } }"
    async with load.member() as member:
        for document in ("{ events { nodes {", "{ nothing }", "query ($a: Int!) { __typename }", "{ me { ...F } }"):
            await ask(member, document, "GRAPHQL_INVALID")
        await ask(member, f"{{ events(first: 100) {{ nodes {{ {deep} }} }} }}", "QUERY_TOO_COMPLEX")
        for body in (b"{", b"[]", b'{"query": 1}', b"\xff"):
            response = await member.http.post("/graphql", content=body, headers={"content-type": "application/json"})
            if response.status_code != 400:
                raise Unexpected(f"{body!r} answers {response.status_code}")
        protected = "mutation { signout { sessionsEnded } }"
        for token in ("x", f"{member.token}x", "a.b.c"):
            stranger = Person(member.http)
            stranger.token = token
            await ask(stranger, protected, "TOKEN_INVALID")
        await ask(load.person(member.http, days_ago=2), protected, "TOKEN_EXPIRED")
        await ask(Person(member.http), protected, "UNAUTHENTICATED")
        await ask(Person(member.http), REFRESH, "TOKEN_INVALID", token="invented")  # noqa: S106 - as it says


async def invents_documents(load: Load) -> None:
    """Never the same twice, but each asked again at once, as those that are kept are."""
    async with load.stranger() as stranger:
        for _ in range(INVENTED):
            number = next(load.numbers)
            document = (
                f"query Soak{number} {{ a{number}: events(first: {number % 100 + 1}) {{ nodes {{ ...F }} }} }}"
                f" fragment F on Event {{ id b{number}: title creator {{ username }} }}"
            )
            for _ in range(2):
                await ask(stranger, document)
            await ask(stranger, f"{{ wrong{number} }}", "GRAPHQL_INVALID")


async def guesses_passwords(load: Load) -> None:
    """Until it is refused."""
    async with load.client() as http:
        victim = load.victim(http)
        for number in range(8):
            answer = await victim.signs_in(password=f"guess {number}")
            if answer.code == "RATE_LIMITED":
                break
            if answer.code != "INVALID_CREDENTIALS":
                raise Unexpected(f"A guess is answered {answer.code}.")
        else:
            raise Unexpected("Nobody counts the guesses.")


OFTEN: tuple[Visit, ...] = (looks_around, publishes, shares_seats, follows_a_calendar, comes_home, looks_around)
SELDOM: tuple[Visit, ...] = (sends_what_is_refused, invents_documents, joins_and_leaves, guesses_passwords)
VISITS = (*OFTEN, *SELDOM, *OFTEN)
LISTENING: tuple[Visit, ...] = (hears_on_a_socket, hears_a_stream, hears_on_a_socket, hears_a_stream, talks_nonsense)
