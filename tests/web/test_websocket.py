import asyncio
import logging
import signal
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from tortoise import Tortoise
from websockets.exceptions import ConnectionClosed, InvalidStatus

import models
from models.changes import ChangeKind, EventChanged
from replicas import MOST_WAITING
from settings import Settings
from tests.conftest import Server
from tests.people import EVENT, Person
from tests.sockets import Airing, Socket, origin
from web.websocket import MOST_OPERATIONS

CHANGES = "subscription ($filter: EventFilter) { eventChanged(filter: $filter) { kind eventId event { title } } }"
on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


@pytest.fixture
async def airing(settings: Settings, app: Any) -> AsyncIterator[Airing]:
    async with Airing(settings).served() as airing:
        yield airing


@pytest.fixture
async def quick(settings: Settings, app: Any) -> AsyncIterator[Airing]:
    """One with less patience: with sessions, with clients that do not begin, and with clients that do not read."""
    async with Airing(settings, session_check_seconds=0.05, init_seconds=0.1, send_seconds=0.3).served() as airing:
        yield airing


async def ask(person: Person, field: str) -> Any:
    return (await person.asks(f"mutation {{ {field} }}")).data


async def until_closed(socket: Socket) -> AsyncIterator[Any]:
    """Every answer that comes before."""
    with suppress(ConnectionClosed):
        while True:
            if (message := await socket.hears())["type"] == "next":
                yield message["payload"]["data"]


async def cancel(person: Person, event: dict[str, Any]) -> None:
    await ask(person, f'cancelEvent(id: "{event["id"]}") {{ id }}')


async def delete(person: Person, event: dict[str, Any]) -> None:
    await ask(person, f'deleteEvent(id: "{event["id"]}") {{ deletedId }}')


# What is told


async def test_an_event_is_told_of_from_its_first_day_to_its_last(airing: Airing, ana: Person) -> None:
    async with airing.socket() as socket:
        await socket.asks(f"subscription {{ eventChanged {{ kind eventId event {EVENT} }} }}")
        await airing.is_heard_by(1)
        event = await ana.creates_event(title="파이썬 모임", tags=["python"], capacity=3)
        created = await socket.change()
        await ana.updates(event, title="파이썬 모임 2")
        updated = await socket.change()
        await cancel(ana, event)
        cancelled = await socket.change()
        await delete(ana, event)
        deleted = await socket.change()

    assert created == {"kind": "CREATED", "eventId": event["id"], "event": event}
    assert (updated["kind"], updated["event"]["title"], updated["event"]["version"]) == ("UPDATED", "파이썬 모임 2", 2)
    assert (cancelled["kind"], cancelled["event"]["status"]) == ("CANCELLED", "CANCELLED")
    assert deleted == {"kind": "DELETED", "eventId": event["id"], "event": None}


async def test_a_taken_seat_is_told_with_the_counts(airing: Airing, ana: Person, ben: Person) -> None:
    event = await ana.creates_event(capacity=1)
    async with airing.socket() as socket:
        await socket.asks("subscription { eventChanged { event { confirmedCount seatsLeft } } }")
        await airing.is_heard_by(1)
        await ben.rsvps(event)

        assert await socket.change() == {"event": {"confirmedCount": 1, "seatsLeft": 0}}


async def test_a_filter_decides_before_the_change_or_after_it(airing: Airing, ana: Person) -> None:
    talk = await ana.creates_event(title="Talk", tags=["Python"])
    async with airing.socket() as socket:
        await socket.asks(CHANGES, filter={"tagsAny": ["python"]})
        await airing.is_heard_by(1)
        await ana.creates_event(title="Not told", tags=["dance"])
        await ana.updates(talk, title="Still in")
        await ana.updates(talk, title="Left", tags=["dance"])
        await ana.updates(talk, title="Not told either")
        await ana.updates(talk, title="Back", tags=["python"])

        assert [(await socket.change())["event"]["title"] for _ in range(3)] == ["Still in", "Left", "Back"]


async def test_whoever_attends_hears_what_becomes_of_the_event(airing: Airing, ana: Person, ben: Person) -> None:
    mine, other, soon = [await ana.creates_event(title=title) for title in ("mine", "other", "soon")]
    await ben.rsvps(mine)
    async with airing.socket(ben) as socket:
        await socket.asks(CHANGES, filter={"mine": "ATTENDING"})
        await airing.is_heard_by(1)
        await socket.asks("{ me { id } }")  # and so what he attends has been read before the first change
        await ana.updates(other, title="not told")
        await cancel(ana, mine)
        await ben.rsvps(soon)
        await delete(ana, mine)
        await ben.cancels_rsvp(soon)
        await ana.updates(soon, title="not told any more")
        await ben.rsvps(other)
        told = [await socket.hears() for _ in range(7)]

    changes = [one["payload"]["data"]["eventChanged"] for one in told if "eventChanged" in str(one)]
    assert [(one["kind"], one["eventId"]) for one in changes] == [
        ("CANCELLED", mine["id"]),
        ("UPDATED", soon["id"]),
        ("DELETED", mine["id"]),
        ("UPDATED", soon["id"]),
        ("UPDATED", other["id"]),
    ]


async def test_a_promotion_is_told_to_whom_it_happens(airing: Airing, ana: Person, ben: Person) -> None:
    event = await ana.creates_event(capacity=1)
    await ana.rsvps(event)
    await ben.rsvps(event)
    async with airing.socket(ben) as socket:
        await socket.asks("subscription { myRsvpChanged { status waitlistPosition user { username } event { id } } }")
        await airing.is_heard_by(1, f"places of {ben.id}")
        await ana.cancels_rsvp(event)  # which is told to her, not to him

        assert await socket.data() == {
            "myRsvpChanged": {
                "status": "CONFIRMED",
                "waitlistPosition": None,
                "user": {"username": "ben"},
                "event": {"id": event["id"]},
            }
        }


async def test_each_change_is_answered_anew(airing: Airing, ana: Person, ben: Person) -> None:
    event = await ana.creates_event()
    async with airing.socket(ben) as socket:
        await socket.asks("subscription { eventChanged { event { canEdit myRsvp { status } } } }")
        await airing.is_heard_by(1)
        await ana.updates(event, title="one")
        first = await socket.change()
        await ben.rsvps(event)
        second = await socket.change()

    assert first["event"] == {"canEdit": False, "myRsvp": None}
    assert second["event"] == {"canEdit": False, "myRsvp": {"status": "CONFIRMED"}}


async def test_variables_and_directives_choose_the_fields(airing: Airing, ana: Person) -> None:
    async with airing.socket() as socket:
        await socket.asks(
            "subscription ($who: Boolean!) { eventChanged { event { title creator @include(if: $who) { username } } }}",
            who=True,
        )
        await airing.is_heard_by(1)
        await ana.creates_event(title="Talk")

        assert await socket.change() == {"event": {"title": "Talk", "creator": {"username": "ana"}}}


async def test_the_creators_name_is_read_once_for_all_who_want_it(
    airing: Airing, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    connection: Any = Tortoise.get_connection("default")
    fetch = connection.fetch

    async def counted(sql: str, values: Any) -> Any:
        read.append(sql)
        return await fetch(sql, values)

    async with airing.socket() as socket:
        for _ in range(30):
            await socket.asks("subscription { eventChanged { event { title creator { username } } } }")
        await airing.is_heard_by(30)
        event = await ana.creates_event(title="Talk")
        monkeypatch.setattr(connection, "fetch", counted)
        change = EventChanged(ChangeKind.UPDATED, event["id"], None, (await models.Event.get(id=event["id"])).row)
        told = [await socket.change() for _ in range(30)]
        read.clear()
        airing.live.tell(change)
        told += [await socket.change() for _ in range(30)]

    assert told == [{"event": {"title": "Talk", "creator": {"username": "ana"}}}] * 60
    assert len(read) == 1


# Who may hear it


@pytest.mark.parametrize(
    ("token", "code"), [(None, "UNAUTHENTICATED"), ("xyz", "TOKEN_INVALID")], ids=["no token", "bad token"]
)
@pytest.mark.parametrize(
    "guarded", ["myRsvpChanged { id }", "eventChanged(filter: {mine: ATTENDING}) { kind }"], ids=["places", "mine"]
)
async def test_what_is_private_needs_a_token_and_the_rest_does_not(
    airing: Airing, anybody: Person, token: str | None, code: str, guarded: str
) -> None:
    anybody.token = token
    async with airing.socket(anybody) as socket:
        await socket.asks(f"subscription {{ {guarded} }}")
        assert await socket.code() == code

        await socket.asks("{ events { totalCount } }")
        assert await socket.data() == {"events": {"totalCount": 0}}


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_the_token_comes_with_the_first_message(airing: Airing, ana: Person, name: str) -> None:
    async with airing.socket(init=False) as socket:
        await socket.initialises({name: f"Bearer {ana.token}"})
        await socket.asks("{ me { username } }")

        assert await socket.data() == {"me": {"username": "ana"}}


async def test_or_with_the_header(airing: Airing, ana: Person) -> None:
    async with airing.socket(additional_headers={"authorization": f"Bearer {ana.token}"}) as socket:
        await socket.asks("{ me { username } }")

        assert await socket.data() == {"me": {"username": "ana"}}


async def test_a_token_that_expires_closes_the_socket(quick: Airing, ana: Person) -> None:
    user = await models.User.get(email=ana.email)
    almost = datetime.now(UTC) - timedelta(minutes=15, seconds=29)  # with the leeway there is a second left, or less
    ana.token = (await quick.accounts.sessions.start(user.id, almost))[1].access_token
    async with quick.socket(ana) as socket:
        assert await socket.is_closed() == (4403, "TOKEN_EXPIRED")


async def test_a_socket_opened_with_an_expired_token_is_closed(quick: Airing, ana: Person) -> None:
    """A laptop that wakes up: its client is to refresh, and not to go on as nobody."""
    user = await models.User.get(email=ana.email)
    ana.token = (await quick.accounts.sessions.start(user.id, datetime.now(UTC) - timedelta(hours=1)))[1].access_token
    async with quick.socket(ana) as socket:
        assert await socket.is_closed() == (4403, "TOKEN_EXPIRED")


@pytest.mark.parametrize("end", [models.Session, models.User], ids=["session ends", "account goes"])
async def test_a_session_that_ends_closes_the_socket(quick: Airing, ana: Person, end: Any) -> None:
    async with quick.socket(ana) as socket:
        await socket.asks(CHANGES)
        await quick.is_heard_by(1)
        await end.all().delete()

        assert await socket.is_closed() == (4403, "TOKEN_REVOKED")
    await quick.is_heard_by(0)


async def test_what_is_private_is_not_told_once_the_session_has_ended(airing: Airing, ana: Person) -> None:
    event = await ana.creates_event()
    async with airing.socket(ana) as socket:
        await socket.asks("subscription { myRsvpChanged { status } }")
        await airing.is_heard_by(1, f"places of {ana.id}")
        await models.Session.all().delete()
        await models.Rsvp.take(event["id"], user_id=ana.id, now=datetime.now(UTC))

        assert await socket.code() == "TOKEN_REVOKED"


@on_sqlite
async def test_pages_of_other_origins_get_no_socket(airing: Airing) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with airing.socket(**origin("https://elsewhere.example")):
            pass
    assert refused.value.response.status_code == 403

    async with airing.socket(**origin(f"http://{airing.address}")):
        pass


@on_sqlite
async def test_allowed_origins_get_one(settings: Settings, app: Any) -> None:
    allowed = ("https://app.example",)
    async with Airing(settings, allowed_origins=allowed).served() as airing:
        async with airing.socket(**origin("https://app.example")):
            pass
        with pytest.raises(InvalidStatus):
            async with airing.socket(**origin("https://elsewhere.example")):
                pass


# The protocol


async def test_queries_and_mutations_run_too(airing: Airing, ana: Person) -> None:
    async with airing.socket(ana) as socket:
        id = await socket.asks(
            "mutation ($input: CreateEventInput!) { createEvent(input: $input) { title } }",
            input={"title": "Talk", "description": "", "tags": [], "location": ""},
        )

        assert await socket.data() == {"createEvent": {"title": "Talk"}}
        assert await socket.hears() == {"type": "complete", "id": id}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ nothing }", "GRAPHQL_INVALID"),
        ("{", "GRAPHQL_INVALID"),
        ("{ a: events { nodes { title } } " + "b: tags { tag } " * 700 + "}", "QUERY_TOO_COMPLEX"),
        ("subscription { eventChanged { nothing } }", "GRAPHQL_INVALID"),
        ("subscription { eventChanged { kind } myRsvpChanged { id } }", "GRAPHQL_INVALID"),
        ('subscription { eventChanged(filter: {startsAt: {from: "soon"}}) { kind } }', "VALIDATION"),
    ],
)
@on_sqlite
async def test_refusals_have_their_code(airing: Airing, query: str, code: str) -> None:
    async with airing.socket() as socket:
        await socket.asks(query)

        assert await socket.code() == code


@on_sqlite
async def test_a_fault_is_told_as_a_number(
    airing: Airing, ana: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(self: object, user_id: str) -> str:
        raise RuntimeError("a secret")

    monkeypatch.setattr("schema.live.Live.username", fails)
    async with airing.socket() as socket:
        await socket.asks("subscription { eventChanged { kind event { creator { username } } } }")
        await airing.is_heard_by(1)
        await ana.creates_event()
        message = await socket.hears()

    (error,) = message["payload"]["errors"]
    assert message["payload"]["data"] == {"eventChanged": {"kind": "CREATED", "event": None}}
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["requestId"] in caplog.text
    assert "a secret" not in str(message)


INIT: dict[str, Any] = {"type": "connection_init"}
SUBSCRIBE: dict[str, Any] = {"type": "subscribe", "id": "1", "payload": {"query": CHANGES}}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([b"\x00binary"], 4400),
        ([123], 4400),
        (["text"], 4400),
        ([None], 4400),
        ([[INIT]], 4400),
        ([{}], 4400),
        ([{"type": ["connection_init"]}], 4400),
        ([{"type": "start"}], 4400),
        ([{"type": "connection_init", "payload": 1}], 4400),
        ([INIT, INIT], 4429),
        ([SUBSCRIBE], 4401),
        ([INIT, SUBSCRIBE, SUBSCRIBE], 4409),
        ([INIT, {**SUBSCRIBE, "id": 1}], 4400),
        ([INIT, {**SUBSCRIBE, "id": ""}], 4400),
        ([INIT, {"type": "subscribe", "id": "1"}], 4400),
        ([INIT, {**SUBSCRIBE, "payload": [CHANGES]}], 4400),
        ([INIT, {**SUBSCRIBE, "payload": {"query": 1}}], 4400),
        ([INIT, {**SUBSCRIBE, "payload": {"query": CHANGES, "variables": []}}], 4400),
        ([INIT, {"type": "complete"}], 4400),
        ([INIT, {**SUBSCRIBE, "payload": {"query": CHANGES, "operationName": "x" * 100_000}}], 1009),
    ],
    ids=str,
)
@on_sqlite
async def test_what_breaks_the_protocol_closes_the_socket_with_its_code(
    airing: Airing, caplog: pytest.LogCaptureFixture, messages: list[Any], code: int
) -> None:
    async with airing.socket(init=False) as socket:
        for message in messages:
            await socket.says(message)

        assert (await socket.is_closed())[0] == code
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@on_sqlite
async def test_json_nested_without_end_closes_the_socket(airing: Airing) -> None:
    async with airing.socket(init=False) as socket:
        await socket.connection.send("[" * 50_000)

        assert (await socket.is_closed())[0] == 4400


@on_sqlite
@pytest.mark.parametrize("protocol", ["graphql-ws", "chat"])
async def test_another_protocol_is_refused(airing: Airing, protocol: str) -> None:
    async with airing.socket(init=False, protocol=protocol) as socket:
        assert (await socket.is_closed())[0] == 4406


@on_sqlite
async def test_a_client_that_does_not_begin_is_not_waited_for(quick: Airing) -> None:
    async with quick.socket(init=False) as socket:
        assert (await socket.is_closed())[0] == 4408


@on_sqlite
async def test_a_ping_is_answered(airing: Airing) -> None:
    async with airing.socket(init=False) as socket:
        await socket.says({"type": "ping"})

        assert await socket.hears() == {"type": "pong"}


@on_sqlite
async def test_what_the_client_completes_is_told_no_more(airing: Airing, ana: Person) -> None:
    async with airing.socket() as socket:
        id = await socket.asks(CHANGES)
        await airing.is_heard_by(1)
        await socket.says({"type": "complete", "id": id})
        await airing.is_heard_by(0)
        await ana.creates_event()
        await socket.says({"type": "subscribe", "id": id, "payload": {"query": "{ events { totalCount } }"}})

        assert await socket.data() == {"events": {"totalCount": 1}}


@on_sqlite
async def test_a_closed_socket_is_forgotten(airing: Airing) -> None:
    async with airing.socket() as socket:
        for _ in range(3):
            await socket.asks(CHANGES)
        await airing.is_heard_by(3)

    await airing.is_heard_by(0)


@on_sqlite
async def test_operations_of_a_socket_are_counted(airing: Airing) -> None:
    async with airing.socket() as socket:
        for _ in range(MOST_OPERATIONS + 1):
            await socket.asks(CHANGES)

        assert await socket.code() == "UNAVAILABLE"
        await airing.is_heard_by(MOST_OPERATIONS)


@on_sqlite
async def test_what_a_client_has_completed_counts_until_it_ends(
    airing: Airing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who asks and completes, over and over, has the server work on any number at once."""
    begun, end = asyncio.Semaphore(0), asyncio.Event()

    async def dawdles(*_: Any) -> None:
        begun.release()
        await end.wait()

    monkeypatch.setattr(models.User, "read", dawdles)
    async with airing.socket() as socket:
        for _ in range(MOST_OPERATIONS):
            id = await socket.asks('{ user(username: "ana") { id } }')
            async with asyncio.timeout(5):
                await begun.acquire()
            await socket.says({"type": "complete", "id": id})

        await socket.asks("{ __typename }")

        assert await socket.code() == "UNAVAILABLE"
        end.set()


@on_sqlite
async def test_a_mutation_is_made_to_its_end_though_its_client_leaves(
    airing: Airing, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, begun, left = models.Event.publish, asyncio.Event(), asyncio.Event()

    async def dawdles(*arguments: Any, **named: Any) -> models.Row:
        begun.set()
        await left.wait()
        return await publish(*arguments, **named)

    monkeypatch.setattr(models.Event, "publish", dawdles)
    async with airing.socket(ana) as socket:
        await socket.asks(CHANGES)
        await socket.asks(
            'mutation { createEvent(input: {title: "Talk", description: "", tags: [], location: ""}) { id } }'
        )
        await begun.wait()
    await airing.is_heard_by(0)  # the server has seen that the client left
    left.set()
    await airing.operations.finish()

    assert await models.Event.all().count() == 1


@on_sqlite
async def test_a_socket_tells_what_it_was_asked_before_the_server_stops(
    airing: Airing, ana: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, begun, stopped = models.Event.publish, asyncio.Event(), asyncio.Event()

    async def dawdles(*arguments: Any, **named: Any) -> models.Row:
        begun.set()
        await stopped.wait()
        return await publish(*arguments, **named)

    monkeypatch.setattr(models.Event, "publish", dawdles)
    create = 'mutation { createEvent(input: {title: "Talk", description: "", tags: [], location: ""}) { title } }'
    async with airing.socket(ana) as socket, airing.socket(ana) as other:
        await other.asks(CHANGES)
        await other.asks(create)
        await begun.wait()
        airing.operations.stop()
        await socket.asks(CHANGES)  # its socket has nothing to wait for

        assert (await socket.is_closed())[0] == 1001
        late = await other.asks(CHANGES)
        refused = await other.hears()
        stopped.set()
        told = [data async for data in until_closed(other)]

    assert (refused["id"], refused["payload"][0]["extensions"]["code"]) == (late, "UNAVAILABLE")
    assert {"createEvent": {"title": "Talk"}} in told
    assert other.connection.close_code == 1001


# Slow readers


def heavy(number: int) -> EventChanged:
    """A change of some 10 kB, of an event that no database has."""
    said = {"title": "Talk", "description": "x" * 10_000, "tags": [], "location": "", "location_key": ""}
    event = models.Event(**said, creator_id=uuid4(), created_at=datetime.now(UTC), updated_at=datetime.now(UTC))
    return EventChanged(ChangeKind.UPDATED, f"{number}", None, event.row)


HEAVY = "subscription { eventChanged { eventId event { title description } } }"


async def publishes(airing: Airing, number: int) -> list[weakref.ref[EventChanged]]:
    published = []
    for one in range(number):
        change = heavy(one)
        published.append(weakref.ref(change))
        airing.live.tell(change)
        del change
        await asyncio.sleep(0)  # lets the server write
    return published


@asynccontextmanager
async def never_reads(airing: Airing) -> AsyncIterator[None]:
    """A client with a small buffer that subscribes, and from then on reads nothing."""
    host, port = airing.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        b"GET /graphql HTTP/1.1\r\nHost: planner.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    for message in (INIT, {"type": "subscribe", "id": "1", "payload": {"query": HEAVY}}):
        text = orjson.dumps(message)
        writer.write(b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text)  # masked by zeros
    try:
        yield
    finally:
        writer.close()


@on_sqlite
async def test_a_client_that_never_reads_is_cut_and_nothing_is_kept_for_it(quick: Airing, ana: Person) -> None:
    async with never_reads(quick):
        await quick.is_heard_by(1)

        published = await publishes(quick, 2_000)  # 20 MB

        assert sum(change() is not None for change in published) <= MOST_WAITING + 1
        await quick.is_heard_by(0)
        async with quick.socket(ana) as other:
            await other.asks("{ me { username } }")
            assert await other.data() == {"me": {"username": "ana"}}


@on_sqlite
async def test_a_client_that_reads_too_slowly_is_told_so(airing: Airing) -> None:
    async with airing.socket(max_queue=1, compression=None) as socket:
        await socket.asks(HEAVY)
        await airing.is_heard_by(1)
        await publishes(airing, 2_000)

        assert await socket.is_closed() == (1013, "More changed than was read in time.")


@on_sqlite
async def test_a_burst_within_the_bounds_is_told_whole(airing: Airing) -> None:
    async with airing.socket() as socket:
        await socket.asks("subscription { eventChanged { eventId } }")
        await airing.is_heard_by(1)
        for number in range(MOST_WAITING):
            airing.live.tell(heavy(number))

        assert [(await socket.change())["eventId"] for _ in range(MOST_WAITING)] == [*map(str, range(MOST_WAITING))]


# The end


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT], ids=lambda asked: asked.name)
async def test_a_server_that_stops_says_so(
    make_server: Callable[..., Server], settings: Settings, asked: signal.Signals
) -> None:
    server = make_server()
    await server.start()
    there = Airing(settings)
    there.address = server.url.removeprefix("http://")
    async with there.socket() as socket, there.socket() as idle:
        await socket.asks(CHANGES)
        stopping = asyncio.create_task(server.stop(asked))
        async with asyncio.timeout(2):
            codes = {(await socket.is_closed())[0], (await idle.is_closed())[0]}
            assert await stopping == 0

    assert codes == {1001}
    assert "Traceback" not in server.log.read_text()
    there.accounts.passwords.close()
