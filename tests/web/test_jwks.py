import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from auth.keys import KeyFolder
from auth.rotation import SECRET
from tests.conftest import Server
from tests.people import Person

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
PATH = "/.well-known/jwks.json"
on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


@on_sqlite
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_another_service_verifies_our_tokens_by_it(
    make_server: Callable[..., Server], tmp_path: Path, algorithm: str
) -> None:
    """By PyJWT, which shares no code with what signs them."""
    server = make_server(KEYS_FOLDER=str(tmp_path / "keys"))
    folder = KeyFolder(server.settings.model_copy(update={"keys_folder": str(tmp_path / "keys")}))
    kid = folder.publish(algorithm, NOW)
    folder.publish("ES256", NOW)  # another one, not to be taken for it
    folder.use(kid, NOW, at_once=True)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        ana = Person(http, "ana")
        await ana.signs_up()
    assert ana.token
    token = ana.token

    def verified(token: str) -> dict[str, Any]:
        key = jwt.PyJWKClient(f"{server.url}{PATH}").get_signing_key_from_jwt(token)
        assert (key.key_id, key.algorithm_name) == (kid, algorithm)
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], audience="planner", issuer="planner")
        return claims

    claims = await asyncio.to_thread(verified, token)

    assert claims["sub"]
    head, body, signature = token.split(".")
    with pytest.raises(jwt.InvalidSignatureError):
        await asyncio.to_thread(verified, f"{head}.{body}.{signature[:9]}{'AB'[signature[9] == 'A']}{signature[10:]}")


@on_sqlite
async def test_it_says_what_it_is_and_how_long_it_may_be_kept(http: httpx.AsyncClient) -> None:
    answer = await http.get(PATH)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"  # RFC 7517 §8.5.2
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert (await http.head(PATH)).status_code == 200
    assert (await http.post(PATH)).status_code == 405


@on_sqlite
async def test_a_secret_is_no_public_key(http: httpx.AsyncClient) -> None:
    assert (await http.get(PATH)).json() == {"keys": []}


@on_sqlite
async def test_a_retired_key_is_not_shown(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server(KEYS_FOLDER=str(tmp_path / "keys"))
    folder = KeyFolder(server.settings.model_copy(update={"keys_folder": str(tmp_path / "keys")}))
    kid, other = folder.publish("ES256", NOW), folder.publish("ES256", NOW)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert [key["kid"] for key in (await http.get(PATH)).json()["keys"]] == [kid, other]

        folder.retire(other, NOW, longest_life=NOW - NOW)
        async with asyncio.timeout(15):
            while True:
                if [key["kid"] for key in (await http.get(PATH)).json()["keys"]] == [kid]:
                    break
                await asyncio.sleep(0.1)

    assert SECRET in folder.manifest().keys
