"""A planner to try: filled, thrown away afterwards."""

import asyncio
import sys
import webbrowser
from contextlib import suppress
from datetime import UTC, datetime
from string import Template
from typing import Annotated

import typer

import models
from auth import Accounts
from auth.account import email_key
from cli.month import PEOPLE, STORY, Planned, month
from cli.throwaway import ThrowawayServer
from models.text import fold
from settings import Settings

PASSWORD = "seats-for-everyone-7"  # noqa: S105 - told to everybody: the accounts last as long as the command

WELCOME = Template("""
${events} events of ${people} people. GraphiQL: ${url}/graphql

Accounts, each with the password ${password}
  ${organiser}@demo.test: organises "${title}" on ${day}, which is full
  ${waiting}@demo.test: is the first in line for it
  ${guest}@demo.test: holds a seat there

Sign in, then press "Use this token in this tab":
  mutation { signin(input: {email: "${organiser}@demo.test", password: "${password}"}) { accessToken } }

Five things to try in GraphiQL
1. Find. The filter is also a calendar: subscribe to its icsUrl.
  { events(filter: {tagsAny: ["python"]}, search: "모임", orderBy: {field: STARTS_AT}) {
    nodes { title startsAt seatsLeft waitlistCount } icsUrl } }
2. Change the event as ${organiser}; then once more, without having read it again: CONFLICT.
  mutation { updateEvent(id: "${id}", input: {location: "역삼 위워크", ifVersion: ${version}}) {
    location version } }
3. Wait as ${waiting}, in a second window, for a seat.
  subscription { myRsvpChanged { status waitlistPosition event { title } } }
4. Give yours up as ${guest}, in a third window; the second says CONFIRMED.
  mutation { cancelRsvp(eventId: "${id}") { status } }
5. See as ${organiser} who comes, and what overlaps.
  { event(id: "${id}") { clashes { title }
    attendees { nodes { user { username } status waitlistPosition } } } }

Ctrl-C ends it, and leaves nothing behind.""")


def demo(
    seed: Annotated[int, typer.Option(help="Another seed, another month.")] = 7,
    open_browser: Annotated[bool, typer.Option("--open", help="Open GraphiQL in the browser.")] = False,
) -> None:
    """Serve a month of invented events, to try things on. HOST and PORT say where; Ctrl-C throws all of it away."""
    with suppress(KeyboardInterrupt), ThrowawayServer() as server:
        planned = month(seed, datetime.now(UTC))
        story = asyncio.run(_fill(server.settings, planned))
        url = server.start()
        typer.echo(_welcome(url, len(planned), story))
        if open_browser:
            webbrowser.open(f"{url}/graphql")
        server.wait()
        sys.exit("The server has ended.")


def _welcome(url: str, events: int, story: models.Event) -> str:
    organiser, waiting, guest = STORY
    return WELCOME.substitute(
        url=url,
        events=events,
        people=len(PEOPLE),
        password=PASSWORD,
        organiser=organiser,
        waiting=waiting,
        guest=guest,
        title=story.title,
        day=f"{story.starts_at:%d %B}",
        id=story.id,
        version=story.version,
    )


async def _fill(settings: Settings, planned: list[Planned]) -> models.Event:
    """Answers with the event of the story."""
    await models.migrate(settings, lambda _: None)
    await models.open_database(settings)
    try:
        ids = await _sign_up(settings, planned[0].created_at)
        with typer.progressbar(planned, label="Filling a month", file=sys.stderr) as bar:
            for one in bar:
                event_id = await _live(one, ids)
                if one.is_story:
                    story = event_id
        return await models.Event.get(id=story)
    finally:
        await models.close_database()


async def _sign_up(settings: Settings, now: datetime) -> dict[str, str]:
    """The people's ids by their names."""
    passwords = Accounts(settings).passwords
    password_hash = await passwords.hash(PASSWORD)  # once: forty would take seconds
    passwords.close()
    ids = {}
    for name in PEOPLE:
        email = f"{name}@demo.test"
        user = await models.User.create(
            email=email,
            email_key=email_key(email),
            username=name,
            username_key=fold(name),
            password_hash=password_hash,
            created_at=now,
        )
        ids[name] = str(user.id)
    return ids


async def _live(planned: Planned, ids: dict[str, str]) -> str:
    """Publishes the event, and lets happen to it what has happened."""
    published = await models.Event.publish(planned.event, creator_id=ids[planned.organiser], now=planned.created_at)
    event_id: str = published["id"]
    for step in planned.steps:
        person = ids[step.person]
        if step.kind == "cancels":
            await models.Event.cancel(event_id, editor_id=person, now=step.at)
        elif step.kind == "gives up":
            await models.Rsvp.give_up(event_id, user_id=person, now=step.at)
        else:
            await models.Rsvp.take(event_id, user_id=person, now=step.at)
    return event_id
