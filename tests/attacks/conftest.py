"""One server a database for the whole folder, its log at debug. What it must never tell is looked for to the end."""

import asyncio
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from graphql import build_client_schema, get_introspection_query

import models
from auth.keys import KeyFolder
from settings import Settings
from tests.attacks.published import Published
from tests.conftest import SECRET, Server
from tests.people import PASSWORD, Person
from tests.postgresql import drop_database, new_database

WRONG = "not-the-말-of-ana-9"
# Whatever comes in: no token at all, no hash, no key, no e-mail and no password is logged, as it is or in an address.
NEVER_LOGGED = {"eyJ", "$2b$", "$bcrypt", "PRIVATE KEY", "Traceback", SECRET, "token="}
NEVER_LOGGED |= {form for text in ("@test.com", PASSWORD, WRONG) for form in (text, quote(text))}

_CALENDAR_KEY = re.compile(rb"/calendars/account/[^/]+/([^/]+)\.ics")

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx would read all certificates for each client: 50 ms
JSON = {"content-type": "application/json"}


class Attacked(Server):
    """A server with people on it, and with keys of all three kinds; SECRET_KEY signs."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        keys = KeyFolder(settings)
        self.rsa, self.ecdsa = (keys.publish(algorithm, datetime.now(UTC)) for algorithm in ("RS256", "ES256"))
        pem = (Path(settings.keys_folder) / f"{self.rsa}.pem").read_bytes()
        self.rsa_public = load_pem_private_key(pem, password=None).public_key()  # once: it takes 0.1 s
        super().__init__(
            settings,
            folder,
            KEYS_FOLDER=settings.keys_folder,
            LOG_LEVEL="debug",
            ADDRESS_SIGNUPS_PER_HOUR="1000000",
            ADDRESS_GUESSES_PER_HOUR="1000000",
            ACCOUNT_GUESSES_PER_HOUR="1000",
        )
        self.told = set(NEVER_LOGGED)
        self.people: dict[str, Person] = {}

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=30, verify=NO_TLS, event_hooks={"response": [self._hear]})

    async def _hear(self, response: httpx.Response) -> None:
        """Notes every token that an answer tells, the hashes by which refresh tokens are kept, and calendars' keys."""
        self.told |= {key.decode() for key in _CALENDAR_KEY.findall(await response.aread())}
        if b'"refreshToken":' in response.content and "json" in response.headers["content-type"]:
            for answer in (response.json().get("data") or {}).values():
                told = [answer[name] for name in ("accessToken", "refreshToken") if name in (answer or {})]
                halves = [half for token in told for half in token.split(".")]
                self.told |= {*told, *(sha256(half.encode()).hexdigest() for half in halves)}

    async def sends(self, raw: bytes) -> bytes:
        """All that comes back on a connection of its own, up to its end or two quiet seconds."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw)
        answer = b""
        try:
            async with asyncio.timeout(2):
                while part := await reader.read(65_536):
                    answer += part
        except (TimeoutError, ConnectionResetError):
            pass
        finally:
            writer.close()
        return answer

    def tells(self) -> list[str]:
        """The secrets that are in its log."""
        log = self.log.read_text("utf-8", "replace")
        return sorted(secret for secret in self.told if secret in log)


Servers = Callable[[str], Attacked]


@pytest.fixture(scope="session")
def servers(migrated: dict[str, Settings], tmp_path_factory: pytest.TempPathFactory, _worker: str) -> Iterator[Servers]:
    """Each starts when it is first asked for. On PostgreSQL it has a database that no other test empties."""
    folder, running = tmp_path_factory.mktemp("attacks"), dict[str, Attacked]()
    postgresql, name = os.environ["PLANNER_TEST_POSTGRESQL"], f"planner_attacks_{os.getpid()}_{_worker}"

    def server(database: str) -> Attacked:
        if database not in running:
            url = f"sqlite://{folder}/planner.sqlite3"
            if database == "postgresql":
                url = asyncio.run(new_database(postgresql, name))
            changes = {"database_url": url, "keys_folder": str(folder / database)}
            settings = migrated[database].model_copy(update=changes)
            asyncio.run(models.migrate(settings, lambda _: None))
            running[database] = Attacked(settings, folder)
            asyncio.run(running[database].start())
        return running[database]

    yield server
    try:
        for one in running.values():
            assert asyncio.run(one.stop(signal.SIGINT)) == 0
            assert one.tells() == []  # after all that the folder did to it
    finally:
        for one in running.values():
            one.kill()
        asyncio.run(drop_database(postgresql, name))


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Attacked:
    return servers(request.param)


on_sqlite = pytest.mark.parametrize("server", ["sqlite"], indirect=True)  # where no row matters


@pytest.fixture
async def http(server: Attacked) -> AsyncIterator[httpx.AsyncClient]:
    async with server.client() as client:
        yield client


@pytest.fixture
def anybody(http: httpx.AsyncClient) -> Person:
    return Person(http)


@pytest.fixture
async def ana(server: Attacked, http: httpx.AsyncClient) -> Person:
    """Signed in for the whole folder, so end none of her sessions: take `anybody` for that."""
    return await signed_in("ana", server, http)


@pytest.fixture
async def ben(server: Attacked, http: httpx.AsyncClient) -> Person:
    return await signed_in("ben", server, http)


async def signed_in(name: str, server: Attacked, http: httpx.AsyncClient) -> Person:
    if name not in server.people:
        server.people[name] = Person(http, name)
        assert (await server.people[name].signs_up()).code is None
    person = Person(http, name)
    person.token, person.id = server.people[name].token, server.people[name].id
    return person


@pytest.fixture
async def published(http: httpx.AsyncClient) -> Published:
    """As the running server publishes it."""
    answer = await http.post("/graphql", json={"query": get_introspection_query()})
    return Published(build_client_schema(answer.json()["data"]))
