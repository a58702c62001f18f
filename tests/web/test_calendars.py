"""Feeds as calendar programs fetch them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import icalendar
import pytest
from fastapi import FastAPI

import models
from calendars.links import Links
from errors import Unavailable
from models.filters import EventFilter, Mine
from settings import Settings
from tests.conftest import Server
from tests.people import Person

NOON = {"startsAt": "2026-12-01T12:00:00Z", "endsAt": "2026-12-01T13:00:00Z", "timeZone": "Asia/Seoul"}
PYTHON = EventFilter(tags_any=("python",))


@pytest.fixture
def links(settings: Settings) -> Links:
    return Links(settings).below("http://planner.test")


async def fetched(http: httpx.AsyncClient, address: str, **headers: str) -> httpx.Response:
    response = await http.get(address, headers=headers)
    assert response.status_code == 200, response.text
    return response


async def calendar(http: httpx.AsyncClient, address: str) -> icalendar.Calendar:
    read = icalendar.Calendar.from_ical((await fetched(http, address)).content)
    assert isinstance(read, icalendar.Calendar)
    return read


async def titles(http: httpx.AsyncClient, address: str) -> list[str]:
    return sorted(str(event["summary"]) for event in (await calendar(http, address)).events)


async def own_feed(links: Links, person: Person) -> str:
    return links.account(person.id, await key_of(person))


async def key_of(person: Person) -> str:
    return (await models.User.get(id=person.id)).calendar_key


async def new_key(person: Person) -> None:
    await models.User.filter(id=person.id).update(calendar_key=models.user.new_calendar_key())


async def takes_place(person: Person, event: dict[str, Any]) -> None:
    await person.asks("mutation ($id: ID!) { rsvp(eventId: $id) { status } }", id=event["id"])


async def gives_place_up(person: Person, event: dict[str, Any]) -> None:
    await person.asks("mutation ($id: ID!) { cancelRsvp(eventId: $id) { status } }", id=event["id"])


async def cancels(person: Person, event: dict[str, Any]) -> None:
    assert (await person.asks("mutation ($id: ID!) { cancelEvent(id: $id) { id } }", id=event["id"])).code is None


async def deletes(person: Person, event: dict[str, Any]) -> None:
    deleted = await person.asks("mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }", id=event["id"])
    assert deleted.code is None


async def test_an_event_is_a_calendar(http: httpx.AsyncClient, ana: Person, links: Links) -> None:
    event = await ana.creates_event(title="파이썬 모임", **NOON)

    read = await calendar(http, links.event(event["id"]))

    (only,) = read.events
    assert (only["uid"], only["summary"], only["sequence"]) == (event["id"], "파이썬 모임", 1)
    assert only.start.isoformat() == "2026-12-01T12:00:00+00:00"
    assert read.calendar_name == "파이썬 모임"


async def test_a_filter_and_search_are_a_calendar(http: httpx.AsyncClient, ana: Person, links: Links) -> None:
    await ana.creates_event(title="파이썬 모임", tags=["Python"], **NOON)
    await ana.creates_event(title="자바 모임", tags=["Java"], **NOON)
    await ana.creates_event(title="A talk", tags=["Python"], **NOON)
    await ana.creates_event(title="언젠가의 모임", tags=["Python"])  # without a start, no calendar has a place for it

    assert await titles(http, links.list(PYTHON, "모임")) == ["파이썬 모임"]
    assert await titles(http, links.list(PYTHON, None)) == ["A talk", "파이썬 모임"]
    assert await titles(http, links.list(None, None)) == ["A talk", "자바 모임", "파이썬 모임"]
    assert (await calendar(http, links.list(PYTHON, "모임"))).calendar_name == "Planner: 모임 #python"


async def test_a_cancelled_event_stays_and_says_so(http: httpx.AsyncClient, ana: Person, links: Links) -> None:
    event = await ana.creates_event(tags=["python"], **NOON)
    await cancels(ana, event)

    for address in (links.event(event["id"]), links.list(PYTHON, None)):
        (only,) = (await calendar(http, address)).events
        assert (only["status"], only["sequence"]) == ("CANCELLED", 2)


async def test_an_empty_list_is_a_calendar(http: httpx.AsyncClient, links: Links) -> None:
    assert await titles(http, links.list(PYTHON, None)) == []


async def test_ones_own_feed_has_what_one_organises_and_attends(
    http: httpx.AsyncClient, ana: Person, ben: Person, links: Links
) -> None:
    own = await ana.creates_event(title="of ana's", **NOON)
    await ben.creates_event(title="of ben's", **NOON)
    attended = await ben.creates_event(title="attended", **NOON)
    full = await ben.creates_event(title="waited for", capacity=1, **NOON)
    left = await ben.creates_event(title="given up", **NOON)
    await takes_place(ben, full)
    for event in (own, attended, full, left):
        await takes_place(ana, event)
    await gives_place_up(ana, left)

    assert await titles(http, await own_feed(links, ana)) == ["attended", "of ana's"]
    assert (await calendar(http, await own_feed(links, ana))).calendar_name == "Planner: ana"

    await gives_place_up(ben, full)
    assert await titles(http, await own_feed(links, ana)) == ["attended", "of ana's", "waited for"]


@pytest.mark.parametrize(("mine", "title"), [(Mine.ORGANISING, "of ana's"), (Mine.ATTENDING, "of ben's")])
async def test_a_list_of_ones_own_is_a_secret_calendar(
    http: httpx.AsyncClient, ana: Person, ben: Person, links: Links, mine: Mine, title: str
) -> None:
    await ana.creates_event(title="of ana's", **NOON)
    await takes_place(ana, await ben.creates_event(title="of ben's", **NOON))
    address = links.list(EventFilter(mine=mine, viewer_id=ana.id), None, await key_of(ana))

    assert await titles(http, address) == [title]
    assert (await fetched(http, address)).headers["cache-control"].startswith("private,")


async def secret_feeds(links: Links, person: Person) -> list[str]:
    mine = EventFilter(mine=Mine.ATTENDING, viewer_id=person.id)
    return [await own_feed(links, person), links.list(mine, None, await key_of(person))]


async def test_a_new_key_ends_the_secret_addresses(http: httpx.AsyncClient, ana: Person, links: Links) -> None:
    addresses = await secret_feeds(links, ana)
    for address in addresses:
        await fetched(http, address)

    await new_key(ana)

    for address in addresses:
        assert (await http.get(address)).status_code == 404
    for address in await secret_feeds(links, ana):
        await fetched(http, address)


async def test_what_opens_nothing_is_told_alike(
    http: httpx.AsyncClient, ana: Person, ben: Person, links: Links
) -> None:
    event = await ana.creates_event(**NOON)
    await deletes(ana, event)
    rotated = await secret_feeds(links, ana)
    await new_key(ana)
    bens_key, nobody = await key_of(ben), "01890a5d-ac96-774b-bcce-b302099a8057"
    public = links.list(PYTHON, None)
    of_bens = links.list(EventFilter(mine=Mine.ATTENDING, viewer_id=ben.id), None, bens_key)

    answers = [
        await http.get(address)
        for address in (
            links.event(event["id"]),
            links.event("nothing"),
            links.account(ana.id, bens_key),
            links.account(ana.id, "é"),
            links.account(ana.id, "x" * 10_000),
            links.account(nobody, bens_key),
            links.account("nobody", bens_key),
            *rotated,
            public.replace(".ics", "A.ics"),
            public.replace("/1/", "/2/"),
            public.replace("/1/", f"/1/{ben.id}/"),
            of_bens.replace(ben.id, ana.id),
            of_bens.replace(f"{ben.id}/", ""),
            "http://planner.test/calendars/1/%00.ics",
            "http://planner.test/calendars/nothing",
        )
    ]

    first, *others = [(answer.status_code, answer.content, [*answer.headers]) for answer in answers]
    assert first[0] == 404
    assert others == [first] * len(others)


async def test_an_account_without_a_key_has_no_feed(http: httpx.AsyncClient, ana: Person, links: Links) -> None:
    await models.User.filter(id=ana.id).update(calendar_key="")

    assert (await http.get(links.account(ana.id, ""))).status_code == 404
    assert (await http.get(f"/calendars/account/{ana.id}/%20.ics")).status_code == 404


async def test_the_account_takes_its_feed_with_it(http: httpx.AsyncClient, ana: Person, links: Links) -> None:
    addresses = await secret_feeds(links, ana)
    await models.User.filter(id=ana.id).delete()

    assert [(await http.get(address)).status_code for address in addresses] == [404, 404]


@pytest.fixture
async def feeds(ana: Person, links: Links) -> dict[str, str]:
    """One of each kind, of the same event."""
    event = await ana.creates_event(tags=["python"], description="말 " * 1000, **NOON)
    mine = EventFilter(mine=Mine.ORGANISING, viewer_id=ana.id)
    return {
        "event": links.event(event["id"]),
        "list": links.list(PYTHON, None),
        "own list": links.list(mine, None, await key_of(ana)),
        "account": await own_feed(links, ana),
    }


async def test_the_headers_of_a_public_feed(http: httpx.AsyncClient, feeds: dict[str, str]) -> None:
    for kind, file in {"event": "event.ics", "list": "events.ics"}.items():
        headers = (await fetched(http, feeds[kind])).headers
        assert headers["content-type"] == "text/calendar; charset=utf-8"
        assert headers["content-disposition"] == f'inline; filename="{file}"'
        assert headers["cache-control"] == "public, max-age=300"
        assert headers["vary"] == "Accept-Encoding"
        assert headers["x-content-type-options"] == "nosniff"
        assert re.fullmatch(r'W/"[0-9a-f]{32}"', headers["etag"])
        assert "x-robots-tag" not in headers


async def test_the_headers_of_a_secret_feed(http: httpx.AsyncClient, feeds: dict[str, str]) -> None:
    for kind in ("own list", "account"):
        headers = (await fetched(http, feeds[kind])).headers
        assert headers["content-type"] == "text/calendar; charset=utf-8"
        assert headers["content-disposition"] == 'inline; filename="my-events.ics"'
        assert headers["cache-control"] == "private, max-age=300"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-robots-tag"] == "noindex"


async def test_who_has_the_newest_is_sent_nothing(
    http: httpx.AsyncClient, feeds: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    etags = {address: (await fetched(http, address)).headers["etag"] for address in feeds.values()}

    def read(*_: Any) -> None:
        raise AssertionError("the events were read")

    monkeypatch.setattr(models.EventList, "stream", read)
    for address, etag in etags.items():
        for said in (etag, etag.removeprefix("W/"), f'"another", {etag}', "*"):
            response = await http.get(address, headers={"if-none-match": said})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
            assert "max-age" in response.headers["cache-control"]


async def test_who_has_an_older_one_is_sent_the_newest(
    http: httpx.AsyncClient, ana: Person, feeds: dict[str, str]
) -> None:
    etags = {address: (await fetched(http, address)).headers["etag"] for address in feeds.values()}
    event_id = feeds["event"].rpartition("/")[2].removesuffix(".ics")
    await cancels(ana, {"id": event_id})

    for address, etag in etags.items():
        response = await fetched(http, address, **{"if-none-match": f'{etag[:-2]}x", "", {etag}x, ,'})
        assert response.headers["etag"] != etag
        assert b"STATUS:CANCELLED" in (await fetched(http, address, **{"if-none-match": etag})).content


async def test_another_event_makes_it_another_list(
    http: httpx.AsyncClient, ana: Person, ben: Person, feeds: dict[str, str]
) -> None:
    before = {kind: (await fetched(http, address)).headers["etag"] for kind, address in feeds.items()}
    attended = await ben.creates_event(**NOON)
    await takes_place(ana, attended)
    after = {kind: (await fetched(http, address)).headers["etag"] for kind, address in feeds.items()}

    assert [kind for kind in feeds if before[kind] != after[kind]] == ["account"]


async def test_head_tells_the_same_without_the_events(
    http: httpx.AsyncClient, feeds: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    got = {address: (await fetched(http, address, **{"accept-encoding": "identity"})) for address in feeds.values()}

    def read(*_: Any) -> None:
        raise AssertionError("the events were read")

    monkeypatch.setattr(models.EventList, "stream", read)
    for address, response in got.items():
        head = await http.head(address, headers={"accept-encoding": "identity"})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers == response.headers
        etag = {"if-none-match": response.headers["etag"]}
        assert (await http.head(address, headers=etag)).status_code == 304


async def test_it_is_compressed_for_who_takes_it(http: httpx.AsyncClient, feeds: dict[str, str]) -> None:
    for address in feeds.values():
        plain = await fetched(http, address, **{"accept-encoding": "identity"})
        packed = await fetched(http, address, **{"accept-encoding": "br, gzip"})

        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert packed.headers["etag"] == plain.headers["etag"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
async def test_a_feed_is_only_read(http: httpx.AsyncClient, feeds: dict[str, str], method: str) -> None:
    for address in feeds.values():
        refused = await http.request(method, address)
        assert (refused.status_code, {*refused.headers["allow"].split(", ")}) == (405, {"GET", "HEAD"})


async def test_a_database_that_is_away_is_told_as_such(
    http: httpx.AsyncClient, feeds: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> str:
        raise Unavailable("The database is busy.", retry_after=1)

    monkeypatch.setattr(models.EventList, "fingerprint", away)
    for address in feeds.values():
        response = await http.get(address)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_no_email_is_in_any_feed(http: httpx.AsyncClient, ana: Person, feeds: dict[str, str]) -> None:
    for address in feeds.values():
        assert b"@" not in (await fetched(http, address)).content


async def test_a_feed_of_many_events_has_each_once(
    http: httpx.AsyncClient, ana: Person, app: FastAPI, links: Links
) -> None:
    now = (await models.User.get(id=ana.id)).created_at
    await models.Event.bulk_create(
        models.Event(creator_id=ana.id, title=f"{n}", description="", tags=[], location="", starts_at=now,
                     created_at=now, updated_at=now)
        for n in range(1234)
    )  # fmt: skip

    assert await titles(http, links.list(None, None)) == sorted(str(n) for n in range(1234))


async def test_the_log_of_requests_does_not_tell_what_opens_a_feed(
    make_server: Callable[..., Server], settings: Settings, tmp_path: Path
) -> None:
    server = make_server(LOG_LEVEL="debug")
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        ana = Person(http, "ana")
        await ana.signs_up()
        await models.open_database(settings)
        try:
            addresses = await secret_feeds(Links(settings).below(server.url), ana)
        finally:
            await models.close_database()
        for address in addresses:
            await fetched(http, address)

    log = server.log.read_text()
    for address in addresses:
        *_, user, secret = address.split("/")
        assert f"/{user}/..." in log
        assert secret.removesuffix(".ics") not in log
