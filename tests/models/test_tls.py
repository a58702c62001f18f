"""TLS to PostgreSQL, by what stands in an address: who is trusted, who is not, and which address is refused."""

from collections.abc import Iterable
from pathlib import Path

import pytest

import models
from cli.doctor import Finding, database, replica
from models.database import database_config
from models.reads import query
from settings import SettingError, Settings
from tests.certificates import Certificate, TLSProxy
from tests.conftest import settings_of

on_postgresql = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)


@pytest.fixture
def root(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path, "a root")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In which asyncpg finds no certificates either."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


async def is_answered(settings: Settings, url: str) -> bool:
    """By all that connects: migrate, the server's pool. Raises DatabaseUnreachable."""
    reached = settings.model_copy(update={"database_url": url})
    await models.migrate(reached, lambda name: None)
    await models.open_database(reached)
    try:
        return await query("SELECT 1 AS one", []) == [{"one": 1}]
    finally:
        await models.close_database()


@on_postgresql
async def test_a_server_whose_root_is_named_is_trusted(settings: Settings, root: Certificate) -> None:
    async with TLSProxy(settings.database_url, root.signs("127.0.0.1")).open() as server:
        for mode in ("verify-full", "verify-ca", "require"):
            assert await is_answered(settings, f"{server.url}?sslmode={mode}&sslrootcert={root.file}")


@on_postgresql
async def test_a_server_that_another_root_signed_for_is_refused(
    settings: Settings, root: Certificate, tmp_path: Path
) -> None:
    other = Certificate(tmp_path, "another root")
    async with TLSProxy(settings.database_url, other.signs("127.0.0.1")).open() as server:
        for mode in ("verify-full", "verify-ca", "require"):
            with pytest.raises(
                models.DatabaseUnreachable, match=r"certificate verify failed.* In DATABASE_URL, sslroot"
            ):
                await is_answered(settings, f"{server.url}?sslmode={mode}&sslrootcert={root.file}")


@on_postgresql
async def test_a_server_with_the_name_of_another_is_refused_in_full_alone(
    settings: Settings, root: Certificate
) -> None:
    async with TLSProxy(settings.database_url, root.signs("database.example")).open() as server:
        with pytest.raises(models.DatabaseUnreachable, match=r"certificate is not valid for '127\.0\.0\.1'"):
            await is_answered(settings, f"{server.url}?sslmode=verify-full&sslrootcert={root.file}")
        assert await is_answered(settings, f"{server.url}?sslmode=verify-ca&sslrootcert={root.file}")


@on_postgresql
async def test_a_server_that_asks_for_a_certificate_is_given_one(settings: Settings, root: Certificate) -> None:
    planner = root.signs("planner")
    async with TLSProxy(settings.database_url, root.signs("127.0.0.1"), clients=root).open() as server:
        verified = f"{server.url}?sslmode=verify-full&sslrootcert={root.file}"
        assert await is_answered(settings, f"{verified}&sslcert={planner.file}&sslkey={planner.key_file}")
        with pytest.raises(models.DatabaseUnreachable):
            await is_answered(settings, verified)


def told(findings: Iterable[Finding]) -> str:
    return "\n".join(map(str, findings))


@on_postgresql
def test_without_a_root_the_doctor_says_how_to_name_one(settings: Settings) -> None:
    verified = f"{settings.database_url}?sslmode=verify-full"
    changes = {"database_url": verified, "database_read_url": verified}
    said = told(database(settings.model_copy(update=changes)))
    of_replica = told(replica(settings.model_copy(update={"database_read_url": verified})))

    assert 'root.crt" does not exist' in said
    assert said.endswith("In DATABASE_URL, sslrootcert=<file> names the certificates to trust, and the host is to be"
                         " named as the server's certificate does.")  # fmt: skip
    assert 'root.crt" does not exist' in of_replica
    assert "\n" not in said + of_replica


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ("sslmode=verify-full&sslrootcert=absent.crt", r"sslrootcert=/.*/absent\.crt cannot be read: No such file"),
        ("sslmode=verify-full&sslrootcert=tests", r"sslrootcert=/.*/tests cannot be read: Is a directory"),
        ("sslmode=verify-full&sslrootcert=LICENSE", r"LICENSE holds no certificate\. Name a file"),
        ("sslmode=verify-full&sslcert=LICENSE&sslkey=LICENSE", r"do not fit\. Name a certificate and its key"),
        ("sslmode=verify-full&sslcert=LICENSE", "sslcert and sslkey go together"),
        ("sslrootcert=LICENSE", r"would not be looked at\. Set sslmode=verify-full"),
        ("sslmode=prefer&sslcert=a&sslkey=b", "sslcert, sslkey would not be looked at"),
        ("sslmode=perhaps", "sslmode must be disable, allow"),
        ("sslmode=verify-full&sslcrl=LICENSE", "its options are sslmode, sslrootcert, sslcert and sslkey"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_key(options: str, remedy: str) -> None:
    address = f"postgresql://ana:hush@127.0.0.1/planner?{options}"

    with pytest.raises(SettingError, match=f"^DATABASE_URL: .*{remedy}") as refused:
        database_config(settings_of(address))

    assert "hush" not in str(refused.value)


def test_a_key_that_is_another_certificates_is_refused(root: Certificate) -> None:
    mine, other = root.signs("mine"), root.signs("other")
    address = f"postgresql://ana@127.0.0.1/planner?sslmode=verify-full&sslcert={mine.file}&sslkey={other.key_file}"

    with pytest.raises(SettingError, match="do not fit"):
        database_config(settings_of(address))
