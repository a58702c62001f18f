"""A proof that anybody can watch: many people want the few seats of one event, all at the same moment.

Who holds a place is read back three times, from the event's counts, from its organiser's list and by each person;
who came first is told by this process's clock. verdict.py compares all that.
"""

import asyncio
import ipaddress
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

import typer

import models
from cli.client import TIMEOUT_SECONDS, Client, Fault
from cli.throwaway import ThrowawayServer
from cli.verdict import History, Taking, Told, judge

SIGNING_UP_AT_ONCE = 8  # a server refuses when more wait for their password's hash than BCRYPT_QUEUE

SIGNUP = "mutation ($input: SignupInput!) { signup(input: $input) { accessToken } }"
CREATE = "mutation ($input: CreateEventInput!) { createEvent(input: $input) { id } }"
DELETE = "mutation ($id: ID!) { deleteEvent(id: $id) { deletedId } }"
RSVP = "mutation ($id: ID!) { place: rsvp(eventId: $id) { status event { confirmedCount } } }"
CANCEL = "mutation ($id: ID!) { place: cancelRsvp(eventId: $id) { status event { confirmedCount } } }"
PLACE = "query ($id: ID!) { event(id: $id) { myRsvp { status waitlistPosition } } }"
ATTENDEES = """query ($id: ID!, $status: RsvpStatus!, $after: String) { event(id: $id) {
  confirmedCount waitlistCount
  attendees(status: $status, first: 100, after: $after) {
    nodes { user { username } } pageInfo { hasNextPage endCursor }
  }
} }"""


def stress(
    capacity: Annotated[int, typer.Option(min=1, max=1_000, help="Seats of the event.")] = 10,
    clients: Annotated[int, typer.Option(min=1, max=1_000, help="People who want one.")] = 200,
    url: Annotated[
        list[str] | None,
        typer.Option(help="A running server's address; several share the clients. Without one, a server is started."),
    ] = None,
    yes_i_own_it: Annotated[
        bool, typer.Option("--yes-i-own-it", help="Needed for a server that is not on this machine.")
    ] = False,
) -> None:
    """Prove that seats hold when everybody wants one at once: exit code 1 where they do not.

    It signs up an account a client, and makes one event, which it deletes at the end; the accounts stay. A server that
    is running must let as many sign up: ADDRESS_SIGNUPS_PER_HOUR, of which a quarter may come in a minute.
    """
    urls = url or []
    for one in urls:
        _refuse_address(one, yes_i_own_it)
    with ExitStack() as until_the_end:
        if not urls:
            # All come from this address; of an hour's sign-ups a quarter may come in a minute.
            many = 4 * (clients + 1)
            server = until_the_end.enter_context(
                ThrowawayServer(host="127.0.0.1", port=0, address_signups_per_hour=many)
            )
            asyncio.run(models.migrate(server.settings, lambda _: None))
            urls = [server.start()]
        try:
            holds = _run(urls, capacity, clients)
        except Fault as fault:
            sys.exit(f"The test cannot be made with {' '.join(urls)}. {fault}")
    if not holds:
        sys.exit(1)


def _refuse_address(url: str, owned: bool) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError where it is no number, or too large
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not (host := parts.hostname):
        raise typer.BadParameter(f"{url} is no address like http://127.0.0.1:8000.")
    if not (owned or _is_this_machine(host)):
        raise typer.BadParameter(f"{host} is another machine. Where it is yours to load, add --yes-i-own-it.")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class Guest:
    """Somebody who wants a seat. `taking` is of the place held now; `faults` tells what went wrong on the way."""

    name: str
    client: Client
    wavers: bool  # gives the place up once, and comes back
    taking: Taking | None = None
    told: Told | None = None
    most_seen: int = 0
    faults: list[str] = field(default_factory=list)

    def competes(self, event_id: str, start: threading.Barrier) -> None:
        with self._noting_faults():
            self._joins(start)
            self._takes(event_id)
            self._says(RSVP, event_id)  # again, as a client does whose answer was lost
            if self.wavers:
                self._comes_back(event_id)

    def steps_back(self, event_id: str, start: threading.Barrier) -> None:
        """Gives the seat up, and stands in line."""
        with self._noting_faults():
            self._joins(start)
            self._comes_back(event_id)

    def asks(self, event_id: str) -> None:
        with self._noting_faults():
            self.client.connect()  # the last one may have been closed meanwhile, since nothing was said on it
            place = self.client.ask(PLACE, id=event_id).data["event"]["myRsvp"]
            self.told = Told(place["status"], place["waitlistPosition"]) if place else Told("NONE", None)

    @contextmanager
    def _noting_faults(self) -> Iterator[None]:
        try:
            yield
        except Fault as fault:
            self.faults.append(str(fault))
        except threading.BrokenBarrierError:
            self.faults.append("Not all were there for the start.")

    def _joins(self, start: threading.Barrier) -> None:
        try:
            self.client.connect()
        finally:
            start.wait()  # also without a connection: the others count on everybody

    def _comes_back(self, event_id: str) -> None:
        self._says(CANCEL, event_id)
        self._says(CANCEL, event_id)
        self.taking = None
        self._takes(event_id)

    def _takes(self, event_id: str) -> None:
        self.taking = self._says(RSVP, event_id)

    def _says(self, document: str, event_id: str) -> Taking:
        answer = self.client.ask(document, id=event_id)
        self.most_seen = max(self.most_seen, answer.data["place"]["event"]["confirmedCount"])
        return Taking(answer.sent, answer.answered)


def _run(urls: list[str], capacity: int, clients: int) -> bool:
    typer.echo(f"{clients} people want {capacity} seats at {' and '.join(urls)}.")
    run = secrets.token_hex(4)
    organiser = Client(urls[0])
    guests = [Guest(f"stress-{run}-{n}", Client(urls[n % len(urls)]), wavers=n % 3 == 0) for n in range(clients)]
    people = {f"stress-{run}": organiser} | {guest.name: guest.client for guest in guests}
    _in_turns("Signing up  ", SIGNING_UP_AT_ONCE, [partial(_sign_up, *one) for one in people.items()])
    organiser.connect()
    event = {"title": f"Stress test {run}", "description": "", "tags": [], "location": "", "capacity": capacity}
    event_id = organiser.ask(CREATE, input=event).data["createEvent"]["id"]
    try:
        before, begun = sum(guest.client.asked for guest in guests), time.monotonic()
        _all_at_once("Taking seats", guests, Guest.competes, event_id)
        organiser.connect()
        _, seated = _attendees(organiser, event_id, "CONFIRMED")
        _, line = _attendees(organiser, event_id, "WAITLISTED")
        _all_at_once("Changing    ", [guest for guest in guests if guest.name in seated], Guest.steps_back, event_id)
        requests, seconds = sum(guest.client.asked for guest in guests) - before, time.monotonic() - begun
        _in_turns("Reading back", SIGNING_UP_AT_ONCE, [partial(guest.asks, event_id) for guest in guests])
        history = _read_back(organiser, event_id, capacity, guests, line)
    finally:
        organiser.connect()
        organiser.ask(DELETE, id=event_id)
    put_off = sum(guest.client.put_off for guest in guests)
    verdict = judge(history)
    typer.echo(verdict.text(history))
    typer.echo(f"{requests} requests in {seconds:.1f} s, {requests / seconds:.0f} a second; {put_off} were put off.")
    return verdict.holds


def _all_at_once(
    label: str, guests: list[Guest], do: Callable[[Guest, str, threading.Barrier], None], event_id: str
) -> None:
    start = threading.Barrier(max(1, len(guests)), timeout=TIMEOUT_SECONDS)
    _in_turns(label, max(1, len(guests)), [partial(do, guest, event_id, start) for guest in guests])


def _in_turns(label: str, threads: int, tasks: list[Callable[[], None]]) -> None:
    """Raises the first Fault that a task raises."""
    pool = ThreadPoolExecutor(threads)
    try:
        futures = [pool.submit(task) for task in tasks]
        with typer.progressbar(as_completed(futures), length=len(futures), label=label, file=sys.stderr) as done:
            for future in done:
                future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _sign_up(name: str, client: Client) -> None:
    account = {"email": f"{name}@stress.test", "username": name, "password": secrets.token_urlsafe(16)}
    client.token = client.ask(SIGNUP, input=account).data["signup"]["accessToken"]
    client.close()  # the server would, before everybody has signed up


def _read_back(organiser: Client, event_id: str, capacity: int, guests: list[Guest], line: list[str]) -> History:
    organiser.connect()
    counts, confirmed = _attendees(organiser, event_id, "CONFIRMED")
    _, waiting = _attendees(organiser, event_id, "WAITLISTED")
    return History(
        capacity=capacity,
        takings={guest.name: guest.taking for guest in guests if guest.taking},
        told={guest.name: guest.told for guest in guests if guest.told},
        confirmed=confirmed,
        waiting=waiting,
        line=line,
        counts=counts,
        most_seen=max(guest.most_seen for guest in guests),
        faults=[fault for guest in guests for fault in guest.faults],
    )


def _attendees(organiser: Client, event_id: str, status: str) -> tuple[tuple[int, int], list[str]]:
    """The event's counts, and the names of those who have the status."""
    names: list[str] = []
    after = None
    while True:
        event = organiser.ask(ATTENDEES, id=event_id, status=status, after=after).data["event"]
        names += [node["user"]["username"] for node in event["attendees"]["nodes"]]
        page = event["attendees"]["pageInfo"]
        after = page["endCursor"]
        if not page["hasNextPage"]:
            return (event["confirmedCount"], event["waitlistCount"]), names
