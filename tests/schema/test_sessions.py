"""Sessions over GraphQL: refreshed, listed, ended; passwords changed; accounts deleted."""

import asyncio

import models
from models.reads import query
from tests.people import PASSWORD, Person

REFRESH = "mutation ($t: String!) { refresh(refreshToken: $t) { accessToken refreshToken account { username } } }"
SESSIONS = "{ me { sessions { id createdAt lastUsedAt userAgent current } } }"
CHANGE = """mutation ($old: String!, $new: String!) {
  changePassword(input: {currentPassword: $old, newPassword: $new}) { accessToken refreshToken account { username } }
}"""
DELETE = "mutation ($p: String!) { deleteAccount(password: $p) { deletedId } }"
NEW = "another-말-battery-8"


async def signs_in_elsewhere(person: Person) -> Person:
    other = Person(person.http, person.username)
    await other.signs_in()
    return other


async def test_a_refresh_token_is_traded_for_a_new_pair(anybody: Person) -> None:
    first = (await anybody.signs_up()).data["signup"]
    anybody.token = "an expired one breaks nothing"

    second = (await anybody.asks(REFRESH, t=first["refreshToken"])).data["refresh"]

    assert second["account"] == {"username": anybody.username}
    anybody.token = second["accessToken"]
    assert (await anybody.tries_to_create()).code is None
    assert (await anybody.asks(REFRESH, t="made.up")).code == "TOKEN_INVALID"
    assert (await anybody.asks(REFRESH, t=second["accessToken"])).code == "TOKEN_INVALID"
    assert (await anybody.tries_to_create(f"Bearer {second['refreshToken']}")).code == "TOKEN_INVALID"


async def test_an_account_sees_where_it_is_signed_in(ana: Person) -> None:
    await signs_in_elsewhere(ana)

    sessions = (await ana.asks(SESSIONS)).data["me"]["sessions"]

    assert [session["current"] for session in sessions] == [False, True]
    assert sessions[0]["userAgent"].startswith("python-httpx/")
    assert sessions[0]["createdAt"] == sessions[0]["lastUsedAt"]


async def test_signing_out_ends_this_session_or_all(ana: Person) -> None:
    phone, laptop = await signs_in_elsewhere(ana), await signs_in_elsewhere(ana)

    assert (await phone.asks("mutation { signout { sessionsEnded } }")).data == {"signout": {"sessionsEnded": 1}}
    assert (await phone.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await phone.asks("mutation { signout { sessionsEnded } }")).code == "TOKEN_REVOKED"
    assert (await ana.tries_to_create()).code is None
    everywhere = "mutation { signout(everywhere: true) { sessionsEnded } }"
    assert (await ana.asks(everywhere)).data == {"signout": {"sessionsEnded": 2}}
    assert (await laptop.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await ana.tries_to_create()).code == "TOKEN_REVOKED"


async def test_a_changed_password_ends_every_other_session(anybody: Person) -> None:
    first = (await anybody.signs_up()).data["signup"]
    phone = await signs_in_elsewhere(anybody)

    assert (await anybody.asks(CHANGE, old="not this one", new=NEW)).code == "INVALID_CREDENTIALS"
    assert (await anybody.asks(CHANGE, old=PASSWORD, new="password1")).fields.keys() == {"newPassword"}
    changed = (await anybody.asks(CHANGE, old=PASSWORD, new=NEW)).data["changePassword"]

    assert (await phone.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await anybody.asks(REFRESH, t=first["refreshToken"])).code == "TOKEN_INVALID"
    anybody.token = changed["accessToken"]
    assert (await anybody.tries_to_create()).code is None
    assert (await anybody.asks(REFRESH, t=changed["refreshToken"])).code is None
    assert (await anybody.signs_in()).code == "INVALID_CREDENTIALS"
    assert (await anybody.signs_in(password=NEW)).code is None


async def test_a_changed_password_ends_the_secret_calendar_addresses(ana: Person) -> None:
    """Whoever knew the password could read them."""
    url = "{ me { calendarUrl } }"
    before = (await ana.asks(url)).data["me"]["calendarUrl"]
    assert (await ana.http.get(before)).status_code == 200

    assert (await ana.asks(CHANGE, old="not this one", new=NEW)).code == "INVALID_CREDENTIALS"
    assert (await ana.http.get(before)).status_code == 200
    ana.token = (await ana.asks(CHANGE, old=PASSWORD, new=NEW)).data["changePassword"]["accessToken"]

    assert (await ana.http.get(before)).status_code == 404
    assert (await ana.http.get((await ana.asks(url)).data["me"]["calendarUrl"])).status_code == 200


async def test_of_two_changes_at_once_one_is_refused(ana: Person) -> None:
    answers = await asyncio.gather(*(ana.asks(CHANGE, old=PASSWORD, new=f"{NEW}{n}") for n in range(5)))

    codes = [answer.code for answer in answers]
    assert codes.count(None) == 1
    # The password was another by then, or the session already.
    assert set(codes) <= {None, "INVALID_CREDENTIALS", "TOKEN_REVOKED"}
    assert (await ana.signs_in(password=f"{NEW}{codes.index(None)}")).code is None


async def test_a_deleted_account_is_gone_with_its_events_and_seats(ana: Person, ben: Person) -> None:
    anas, bens = (
        await ana.creates_event(title="Ana's", tags=["gone"]),
        await ben.creates_event(title="Ben's", capacity=1),
    )
    await ana.rsvps(bens)
    await ben.rsvps(bens)
    await ben.rsvps(anas)

    assert (await ana.asks(DELETE, p="not this one")).code == "INVALID_CREDENTIALS"
    assert (await ana.asks(DELETE, p=PASSWORD)).data["deleteAccount"] == {"deletedId": ana.id}

    assert (await ana.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await ana.signs_in()).code == "INVALID_CREDENTIALS"
    assert await ben.place_at(bens) == ("CONFIRMED", None)
    assert await ben.sees(anas) is None
    assert (await ben.asks('{ user(username: "ana") { id } }')).data == {"user": None}
    bens_alone = {"users": 1, "sessions": 1, "refresh_tokens": 1, "events": 1, "rsvps": 1, "event_tags": 0}
    for table, count in bens_alone.items():
        assert await query(f"SELECT count(*) AS n FROM {table}", []) == [{"n": count}]  # noqa: S608 - the names above
    assert (await Person(ana.http, "ana").signs_up()).code is None


async def test_accounts_that_go_while_people_come_leave_counts_that_are_right(
    ana: Person, ben: Person, anybody: Person
) -> None:
    await anybody.signs_up()
    events = [await person.creates_event(capacity=1) for person in (ana, ben, anybody) for _ in range(3)]

    await asyncio.gather(
        *(person.rsvps(event) for event in events for person in (ana, ben, anybody)),
        ana.asks(DELETE, p=PASSWORD),
        ben.asks(DELETE, p=PASSWORD),
        *(person.rsvps(event) for event in events for person in (anybody, ben, ana)),
    )

    assert await models.User.all().count() == 1
    for event in await models.Event.all():
        counts = [await models.Rsvp.filter(event_id=event.id, status=s).count() for s in ("CONFIRMED", "WAITLISTED")]
        assert counts == [event.confirmed_count, event.waitlist_count] == [1, 0]
