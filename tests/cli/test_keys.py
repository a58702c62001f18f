import asyncio
import json
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from auth.keys import KeyFolder
from auth.rotation import KeyRefused
from cli import commands
from settings import SettingError
from tests.cli.conftest import Ran
from tests.conftest import SECRET, Server
from tests.people import Person

Planner = Callable[..., Ran]
Keys = Callable[..., Result]
KID = re.compile(r"[0-9a-f]{16}")
REFRESH = "mutation ($t: String!) { refresh(refreshToken: $t) { accessToken refreshToken } }"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Runs planner keys on the folder, in this process."""
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("KEYS_FOLDER", str(folder))
    return lambda *arguments: CliRunner().invoke(commands, ["keys", *arguments])


def done(ran: Result) -> str:
    assert (ran.exit_code, ran.stderr) == (0, "")
    return ran.stdout


def refused(ran: Result) -> str:
    """The line in which it was, which `main` writes."""
    assert ran.stdout == ""
    assert isinstance(ran.exception, KeyRefused)
    assert "\n" not in str(ran.exception)
    return str(ran.exception)


def new_kid(ran: Result) -> str:
    found = KID.search(done(ran))
    assert found
    return found[0]


def an_hour_passes(folder: Path) -> None:
    """As the manifest sees it: whatever it tells was an hour earlier."""
    manifest = re.sub(
        r"\d{4}-[^\"]+",
        lambda instant: (datetime.fromisoformat(instant[0]) - timedelta(hours=1)).isoformat(),
        (folder / "keys.json").read_text(),
    )
    (folder / "changed").write_text(manifest)
    os.replace(folder / "changed", folder / "keys.json")


def test_a_rotation_from_the_first_key_to_a_retired_one(keys: Keys, folder: Path) -> None:
    kid = new_kid(keys("new"))
    assert f"{kid}  ES256  published; can sign from 20" in done(keys("list"))
    assert "is not known everywhere yet" in refused(keys("use", kid))

    an_hour_passes(folder)
    assert f"{kid}  ES256  published; can sign now" in done(keys("list"))
    assert "retire the one before with: planner keys retire SECRET_KEY" in done(keys("use", kid))
    assert "SECRET_KEY        HS256  verifies; can be retired from 20" in done(keys("list"))
    assert "are good until" in refused(keys("retire", "SECRET_KEY"))

    an_hour_passes(folder)
    assert "SECRET_KEY        HS256  verifies; can be retired now" in done(keys("list"))
    assert done(keys("retire", "SECRET_KEY")) == "Retired SECRET_KEY.\n"
    assert done(keys("list")) == f"{kid}  ES256  signs\n"


def test_a_leaked_key_is_ended_at_once(keys: Keys, folder: Path) -> None:
    leaked = new_kid(keys("new", "--algorithm", "RS256"))
    done(keys("use", leaked, "--now"))
    assert "signs. Have another sign first" in refused(keys("retire", leaked, "--now"))

    done(keys("use", "SECRET_KEY"))
    done(keys("retire", leaked, "--now"))

    assert not list(folder.glob("*.pem"))
    assert done(keys("list")) == "SECRET_KEY        HS256  signs\n"


def test_without_a_folder_secret_key_is_the_only_key(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS_FOLDER", "")

    assert done(keys("list")) == "SECRET_KEY        HS256  signs\n"
    for command in (("new",), ("use", "SECRET_KEY"), ("retire", "SECRET_KEY")):
        assert refused(keys(*command)).startswith("KEYS_FOLDER is not set. Name a folder")


def test_a_folder_without_keys_is_not_taken_for_one(keys: Keys, folder: Path) -> None:
    for _ in ("where there is no folder", "where it is empty"):
        assert "there is no key yet, and no server starts with it. Make the first with" in done(keys("list"))
        assert isinstance(keys("use", "SECRET_KEY").exception, SettingError)
        assert not any(folder.glob("*"))
        folder.mkdir(exist_ok=True)


def test_a_manifest_that_cannot_be_read_is_no_empty_folder(keys: Keys, folder: Path) -> None:
    done(keys("new"))
    (folder / "keys.json").write_text("{}")

    assert "is not as planner keys writes it" in str(keys("list").exception)


def test_a_folder_that_cannot_be_written_is_told(keys: Keys, folder: Path) -> None:
    folder.write_text("a shopping list")

    assert "cannot be changed: File exists" in refused(keys("new"))


def test_a_refusal_is_told_in_a_line(planner: Planner) -> None:
    ran = planner("keys", "new", KEYS_FOLDER="")

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("KEYS_FOLDER is not set. ")
    assert ran.stderr.count("\n") == 1


def test_another_algorithm_is_not_made(keys: Keys, folder: Path) -> None:
    ran = keys("new", "--algorithm", "none")

    assert ran.exit_code == 2
    assert not folder.exists()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_a_server_without_its_keys_does_not_start(
    planner: Planner, make_server: Callable[..., Server], folder: Path
) -> None:
    url = make_server().settings.database_url
    ran = await asyncio.to_thread(planner, "serve", DATABASE_URL=url, KEYS_FOLDER=str(folder))

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "there is no keys.json. Make the first key with planner keys new" in ran.stderr
    assert "Traceback" not in ran.stderr


class Client(Person):
    """Asks one server after the other, and keeps what it was refused. Most keep an access token while it lives."""

    def __init__(self, servers: list[httpx.AsyncClient], name: str, *, hurries: bool) -> None:
        super().__init__(servers[0], name)
        self._servers = servers
        self._hurries = hurries
        self.has_expired = False
        self.signed_with: dict[int, str] = {}  # the key of the last access token, by the server that signed it
        self.asked = 0
        self.refusals: list[object] = []

    @property
    def kid(self) -> str:
        """Of the key that its access token is signed with."""
        assert self.token
        head = self.token.partition(".")[0]
        return str(json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])

    async def goes_on(self) -> None:
        refresh_token = (await self.signs_in()).data["signin"]["refreshToken"]
        while True:
            self.asked += 1
            number = self.asked % len(self._servers)
            self.http = self._servers[number]
            answer = await self.asks("{ me { username } }")
            if answer.body != {"data": {"me": {"username": self.username}}}:
                self.refusals.append(answer.body)
            if self.has_expired or (self._hurries and self.asked % 5 == 0):
                tokens = (await self.asks(REFRESH, t=refresh_token)).data["refresh"]
                self.token, refresh_token = tokens["accessToken"], tokens["refreshToken"]
                self.signed_with[number] = self.kid
                self.has_expired = False
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_keys_are_rotated_under_load_with_no_refusal(
    planner: Planner, folder: Path, make_server: Callable[..., Server]
) -> None:
    """Two servers, clients that go from one to the other, and planner keys beside them, by its rules."""

    async def keys(*arguments: str) -> str:
        ran = await asyncio.to_thread(planner, "keys", *arguments, KEYS_FOLDER=str(folder))
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout

    made = [make_server(KEYS_FOLDER=str(folder)) for _ in range(2)]
    first = KeyFolder(made[0].settings.model_copy(update={"keys_folder": str(folder)}))
    old = first.publish("ES256", datetime.now(UTC))
    first.use(old, datetime.now(UTC), at_once=True)
    await asyncio.gather(*(server.start() for server in made))
    async with AsyncExitStack() as opened:
        servers = [
            await opened.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=30)) for server in made
        ]
        clients = [Client(servers, "ana", hurries=True), Client(servers, "ben", hurries=False)]
        for client in clients:
            await client.signs_up()
        old_token = clients[0].token
        load = [asyncio.create_task(client.goes_on()) for client in clients]
        for one in load:
            opened.callback(one.cancel)

        async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
            async with asyncio.timeout(30):
                while True:
                    assert not any(one.done() for one in load), load
                    if await is_so():
                        return
                    await asyncio.sleep(0.05)

        async def shown() -> list[set[str]]:
            sets = [(await http.get("/.well-known/jwks.json")).json() for http in servers]
            return [{key["kid"] for key in one["keys"]} for one in sets]

        async def all_show(*kids: str) -> bool:
            return await shown() == [{*kids}] * 2

        def tokens() -> list[str]:
            return [client.kid for client in clients]

        async def all_sign_with_the_new() -> bool:
            return clients[0].signed_with == {0: new, 1: new}

        async def they_go_on() -> None:
            enough = {client: client.asked + 10 for client in clients}

            async def have_gone_on() -> bool:
                return all(client.asked > asked for client, asked in enough.items())

            await until(have_gone_on)

        async def the_clock_goes_on() -> None:
            an_hour_passes(folder)
            for client in clients:
                client.has_expired = True
            await until(have_fresh_tokens)

        async def have_fresh_tokens() -> bool:
            return not any(client.has_expired for client in clients)

        new = re.findall(KID, await keys("new"))[0]
        await until(lambda: all_show(old, new))
        await the_clock_goes_on()
        assert tokens() == [old, old]
        await keys("use", new)
        await until(all_sign_with_the_new)
        assert tokens() == [new, old]
        await they_go_on()
        await the_clock_goes_on()
        assert tokens() == [new, new]
        await keys("retire", old)
        await until(lambda: all_show(new))
        await they_go_on()
        late = [await Person(http).tries_to_create(authorization=f"Bearer {old_token}") for http in servers]

    assert [client.refusals for client in clients] == [[], []]
    assert [answer.code for answer in late] == ["TOKEN_INVALID"] * 2  # the old key is retired in truth
