"""A calendar of 1,000 events, as a calendar program asks for it: whole, and once more when nothing has changed."""

from itertools import repeat
from urllib.parse import urlsplit

from bench.data import CALENDAR_TAG
from bench.http import Request
from bench.load import Load, ask_once
from bench.rivals import OURS
from bench.run import Run

CONNECTIONS = 4


async def measure(run: Run) -> None:
    document = "query ($tags: [String!]) { events(filter: {tagsAny: $tags}) { icsUrl } }"
    path = urlsplit((await run.ask(document, tags=[CALENDAR_TAG]))["events"]["icsUrl"]).path
    port = run.servers[OURS].port
    whole = Request("GET", path)
    answer = await ask_once(port, whole)
    written = answer.body.count(b"BEGIN:VEVENT")
    if answer.status != 200 or written != run.data.calendar_events:
        raise ValueError(f"The calendar has {written} events.")
    again = Request("GET", path, headers={"if-none-match": answer.header("etag")})
    await run.settle()
    await run.pin()
    for _ in range(run.course.rounds):
        load = Load(port, repeat(whole.octets), lambda response: len(response.body) == len(answer.body))
        await run.round(f"feed of {written:,}", OURS, load, CONNECTIONS, run.course.seconds)
        load = Load(port, repeat(again.octets), lambda response: response.status == 304)
        await run.round("feed unchanged", OURS, load, CONNECTIONS, run.course.seconds)
