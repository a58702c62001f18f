"""Ana in two browsers: from the session that the other one lists to a key that is retired under both."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import jwt
from typer.testing import CliRunner

import models
from cli import commands
from settings import Settings
from tests.conftest import SECRET, Server
from tests.people import PASSWORD, Answer, Person

REFRESH = "mutation ($t: String!) { refresh(refreshToken: $t) { accessToken refreshToken } }"
CHANGE_PASSWORD = """mutation ($input: ChangePasswordInput!) {
  changePassword(input: $input) { accessToken refreshToken }
}"""
NEW_PASSWORD = f"{PASSWORD}-new"


class Browser(Person):
    """Somebody in one browser: it has a name, and keeps both tokens."""

    def __init__(self, url: str, name: str, user_agent: str) -> None:
        super().__init__(httpx.AsyncClient(base_url=url, headers={"user-agent": user_agent}, timeout=30), name)
        self.refresh_token = ""

    async def signs_up(self, **changes: str) -> Answer:
        return self._keeps(await super().signs_up(**changes), "signup")

    async def signs_in(self, **changes: str) -> Answer:
        return self._keeps(await super().signs_in(**changes), "signin")

    async def refreshes(self, token: str | None = None) -> Answer:
        return self._keeps(await self.asks(REFRESH, t=token or self.refresh_token), "refresh")

    async def changes_password(self, current: str, new: str) -> Answer:
        asked = {"currentPassword": current, "newPassword": new}
        return self._keeps(await self.asks(CHANGE_PASSWORD, input=asked), "changePassword")

    async def sessions(self) -> list[tuple[str, bool]]:
        """The program of each, and whether it is this one; newest first."""
        sessions = (await self.asks("{ me { sessions { userAgent current } } }")).data["me"]["sessions"]
        return [(one["userAgent"], one["current"]) for one in sessions]

    @property
    def kid(self) -> str:
        """Of the key that its access token is signed with."""
        assert self.token
        return str(jwt.get_unverified_header(self.token)["kid"])

    def _keeps(self, answer: Answer, field: str) -> Answer:
        if answer.code is None:
            self.token, self.refresh_token = (answer.data[field][name] for name in ("accessToken", "refreshToken"))
        return answer


async def test_two_browsers_from_sign_in_to_a_rotated_key(
    make_server: Callable[..., Server], settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    first = await planner_keys(folder, "new")
    await planner_keys(folder, "use", first, "--now")
    server = make_server(KEYS_FOLDER=str(folder))
    await server.start()
    async with AsyncExitStack() as opened:
        laptop, phone, thief, *guests = browsers = [
            Browser(server.url, name, agent)
            for name, agent in (("ana", "Laptop/1"), ("ana", "Phone/2"), ("ana", "Thief/3"), ("ben", "B"), ("cho", "C"))
        ]
        for browser in browsers:
            await opened.enter_async_context(browser.http)
        assert (await laptop.signs_up()).code is None

        await they_list_each_other_and_sign_out(laptop, phone)
        await a_stolen_token_ends_its_family(settings, laptop, phone, thief)
        await another_password_ends_the_other_session(laptop, phone)
        assert (await phone.signs_in(password=NEW_PASSWORD)).code is None
        for guest in guests:
            assert (await guest.signs_up()).code is None
        await keys_are_rotated_under_load(folder, first, [laptop, phone, *guests])
    assert "Traceback" not in server.log.read_text()


async def they_list_each_other_and_sign_out(laptop: Browser, phone: Browser) -> None:
    assert (await phone.signs_in()).code is None
    assert await laptop.sessions() == [("Phone/2", False), ("Laptop/1", True)]
    assert await phone.sessions() == [("Phone/2", True), ("Laptop/1", False)]
    await phone.creates_event()

    ended = await laptop.asks("mutation { signout(everywhere: true) { sessionsEnded } }")

    assert ended.data == {"signout": {"sessionsEnded": 2}}
    assert (await phone.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await laptop.tries_to_create()).code == "TOKEN_REVOKED"


async def a_stolen_token_ends_its_family(settings: Settings, laptop: Browser, phone: Browser, thief: Browser) -> None:
    for browser in (laptop, phone):
        assert (await browser.signs_in()).code is None
    stolen = phone.refresh_token
    assert (await phone.refreshes()).code is None
    await phone.creates_event()
    await grace_passes(settings)

    assert (await thief.refreshes(stolen)).code == "TOKEN_REVOKED"

    assert (await phone.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await phone.refreshes()).code == "TOKEN_INVALID"  # nobody knows the family any more
    assert await laptop.sessions() == [("Laptop/1", True)]  # another family
    assert (await phone.signs_in()).code is None
    await phone.creates_event()


async def another_password_ends_the_other_session(laptop: Browser, phone: Browser) -> None:
    assert (await laptop.changes_password("not it at all", NEW_PASSWORD)).code == "INVALID_CREDENTIALS"
    assert (await phone.asks("{ me { id } }")).code is None
    before = laptop.token

    assert (await laptop.changes_password(PASSWORD, NEW_PASSWORD)).code is None

    assert (await phone.tries_to_create()).code == "TOKEN_REVOKED"
    assert (await phone.signs_in()).code == "INVALID_CREDENTIALS"
    assert (await laptop.tries_to_create(authorization=f"Bearer {before}")).code == "TOKEN_REVOKED"
    await laptop.creates_event()
    assert (await laptop.refreshes()).code is None
    assert await laptop.sessions() == [("Laptop/1", True)]


async def keys_are_rotated_under_load(folder: Path, old: str, browsers: list[Browser]) -> None:
    """At once, as after a leak; yet nobody is refused, since all have a token of the new key before the old one goes.
    How the minutes between the steps pass without --now is in tests/cli/test_keys.py."""
    anybody = Person(httpx.AsyncClient(base_url=browsers[0].http.base_url))
    old_token = browsers[0].token
    load = Load(browsers)

    async def is_published(*kids: str) -> bool:
        shown = (await anybody.http.get("/.well-known/jwks.json")).json()["keys"]
        return {key["kid"] for key in shown} == {*kids}

    async def all_have_a_token_of(kid: str) -> bool:
        return {browser.kid for browser in browsers} == {kid}

    async with anybody.http, load.goes_on():
        await load.goes_on_for(3)
        assert await all_have_a_token_of(old)
        new = await planner_keys(folder, "new")
        await load.until(lambda: is_published(old, new))
        await planner_keys(folder, "use", new, "--now")
        await load.until(lambda: all_have_a_token_of(new))
        await planner_keys(folder, "retire", old, "--now")
        await load.until(lambda: is_published(new))
        await load.goes_on_for(3)
        late = await anybody.tries_to_create(authorization=f"Bearer {old_token}")

    assert load.refusals == []
    assert late.code == "TOKEN_INVALID"  # the old key is retired in truth


class Load:
    """Browsers that read, publish and refresh, round after round, and the refusals that they met."""

    def __init__(self, browsers: list[Browser]) -> None:
        self.refusals: list[object] = []
        self._rounds = dict.fromkeys(browsers, 0)
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def goes_on(self) -> AsyncIterator[None]:
        self._tasks = [asyncio.create_task(self._rounds_of(browser)) for browser in self._rounds]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    async def goes_on_for(self, rounds: int) -> None:
        enough = {browser: done + rounds for browser, done in self._rounds.items()}

        async def all_are_done() -> bool:
            return all(self._rounds[browser] >= wanted for browser, wanted in enough.items())

        await self.until(all_are_done)

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(20):
            while not await is_so():
                assert not any(task.done() for task in self._tasks), self._tasks
                await asyncio.sleep(0.05)

    async def _rounds_of(self, browser: Browser) -> None:
        while True:
            for answer in (await browser.asks("{ me { username } }"), await browser.tries_to_create()):
                if answer.code:
                    self.refusals.append(answer.body)
            if (refreshed := await browser.refreshes()).code:
                self.refusals.append(refreshed.body)
            self._rounds[browser] += 1


async def grace_passes(settings: Settings) -> None:
    """Its 10 seconds, as the database sees it: every family was turned that much earlier."""
    await models.open_database(settings)
    try:
        for session in await models.Session.all():
            session.rotated_at -= timedelta(seconds=11)
            await session.save(update_fields=["rotated_at"])
    finally:
        await models.close_database()


async def planner_keys(folder: Path, *arguments: str) -> str:
    """Runs planner keys, as an operator would beside the server. The first key that it names."""
    environment = {"SECRET_KEY": SECRET, "KEYS_FOLDER": str(folder)}
    ran = await asyncio.to_thread(CliRunner().invoke, commands, ["keys", *arguments], env=environment)
    assert (ran.exit_code, ran.stderr) == (0, "")
    found = re.search(r"[0-9a-f]{16}", ran.stdout)
    assert found
    return found[0]
