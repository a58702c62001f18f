"""One seat, two browsers: who waits in the one sees the seat that is given up in the other."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from icalendar import Calendar
from playwright.async_api import Browser

from tests.browser import open_browser
from tests.conftest import Server
from tests.explorer import Explorer
from tests.people import PASSWORD, Person

OPERATIONS = """
mutation SignUp($account: SignupInput!) {
  signup(input: $account) { accessToken account { username } }
}
mutation TakeSeat($id: ID!) {
  rsvp(eventId: $id) { status waitlistPosition event { title seatsLeft waitlistCount } }
}
mutation GiveUpSeat($id: ID!) {
  cancelRsvp(eventId: $id) { status event { title confirmedCount waitlistCount } }
}
subscription WatchMyPlaces {
  myRsvpChanged { status waitlistPosition event { title confirmedCount waitlistCount } }
}
"""
CALENDAR = '{ events(filter: {tagsAny: ["python"]}, search: "모임") { totalCount icsUrl } }'
TIME = {"startsAt": "2030-05-04T19:00:00+09:00", "endsAt": "2030-05-04T21:00:00+09:00", "timeZone": "Asia/Seoul"}


@asynccontextmanager
async def signed_in(browser: Browser, name: str, url: str, event_id: str) -> AsyncIterator[Explorer]:
    """Somebody with a browser of their own, on the page, with an account and its token in use."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    explorer = Explorer(await context.new_page(), url)
    await explorer.opens()
    account = {"email": f"{name}@test.com", "username": name, "password": PASSWORD}
    await explorer.pastes_a_query(OPERATIONS)
    await explorer.pastes_variables(json.dumps({"account": account, "id": event_id}))
    assert (await explorer.runs("SignUp"))["data"]["signup"]["account"]["username"] == name
    await explorer.uses_the_token()
    yield explorer
    assert explorer.outside == []
    assert explorer.complaints == []
    await context.close()


async def events_in(http: httpx.AsyncClient, ics_url: str) -> list[tuple[str, str]]:
    """Titles and statuses, as a calendar program reads them."""
    answer = await http.get(ics_url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/calendar")
    calendar = Calendar.from_ical(answer.text)
    return [(str(event["SUMMARY"]), str(event["STATUS"])) for event in calendar.walk("VEVENT")]


async def test_a_seat_that_is_given_up_in_one_browser_shows_in_the_other(make_server: Callable[..., Server]) -> None:
    server = make_server()
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http, open_browser() as browser:
        ana = Person(http, "ana")
        await ana.signs_up()
        await ana.creates_event(title="독서 모임", tags=["책"], **TIME)
        await ana.creates_event(title="파이썬 책 출간", tags=["python"], **TIME)
        event = await ana.creates_event(title="파이썬 모임", tags=["python"], capacity=1, **TIME)

        async with (
            signed_in(browser, "ben", server.url, event["id"]) as ben,
            signed_in(browser, "cho", server.url, event["id"]) as cho,
        ):
            assert (await ben.runs("TakeSeat"))["data"]["rsvp"]["status"] == "CONFIRMED"
            waiting = (await cho.runs("TakeSeat"))["data"]["rsvp"]
            assert (waiting["status"], waiting["waitlistPosition"]) == ("WAITLISTED", 1)
            await cho.shoots("two-browsers-1-cho-waits")

            async with cho.page.expect_response(lambda answer: "event-stream" in answer.headers["content-type"]):
                await cho.starts("WatchMyPlaces")
            assert (await ben.runs("GiveUpSeat"))["data"]["cancelRsvp"]["status"] == "CANCELLED"
            await ben.shoots("two-browsers-2-ben-gives-up")
            promoted = (await cho.is_shown())["data"]["myRsvpChanged"]
            await cho.page.locator(".graphiql-response", has_text="CONFIRMED").wait_for()
            await cho.shoots("two-browsers-3-cho-is-told")
            assert promoted == {
                "status": "CONFIRMED",
                "waitlistPosition": None,
                "event": {"title": "파이썬 모임", "confirmedCount": 1, "waitlistCount": 0},
            }
            await cho.stops()

        seen = event["version"]
        assert (await ana.updates(event, seen, location="강남역")).data["updateEvent"]["version"] == seen + 1
        assert (await ana.updates(event, seen, location="역삼역")).code == "CONFLICT"

        found = (await ana.asks(CALENDAR)).data["events"]
        assert found["totalCount"] == 1
        assert await events_in(http, found["icsUrl"]) == [("파이썬 모임", "CONFIRMED")]
        await ana.asks("mutation ($id: ID!) { cancelEvent(id: $id) { status } }", id=event["id"])
        assert await events_in(http, found["icsUrl"]) == [("파이썬 모임", "CANCELLED")]
