"""The folder of keys: what planner keys does to it, and what a server makes of it."""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import auth.keys
from auth.keys import MANIFEST, Key, KeyFolder, Keys
from auth.rotation import SECRET, SPREAD, KeyRefused
from settings import SettingError, Settings
from tests.conftest import SECRET as SECRET_KEY
from tests.conftest import settings_of

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
LIFE = timedelta(minutes=15)
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@pytest.fixture
def with_keys(tmp_path: Path) -> Settings:
    """Settings with a folder of keys in which nothing is yet."""
    return settings_of("sqlite://unused.sqlite3", keys_folder=str(tmp_path / "keys"))


@pytest.fixture
def folder(with_keys: Settings) -> KeyFolder:
    return KeyFolder(with_keys)


@pytest.fixture
def path(with_keys: Settings) -> Path:
    return Path(with_keys.keys_folder)


def kids(ring: auth.keys.Ring) -> list[str]:
    return [key["kid"] for key in ring.jwks["keys"]]


def test_without_a_folder_secret_key_is_the_only_key() -> None:
    ring = Keys(settings_of("sqlite://unused.sqlite3")).ring

    assert ring.signing.algorithm == "HS256"
    assert ring.find(ring.signing.kid) is ring.signing
    assert ring.jwks == {"keys": []}


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_new_key_is_known_and_signs_when_it_is_told_to(folder: KeyFolder, algorithm: str) -> None:
    kid = folder.publish(algorithm, NOW)
    published = folder.ring()
    folder.use(kid, NOW + SPREAD)
    used = folder.ring()

    key = published.find(kid)
    assert key
    assert key.algorithm == algorithm
    assert published.signing.algorithm == "HS256"
    assert used.signing.kid == kid
    assert used.find(published.signing.kid)
    assert kids(published) == kids(used) == [kid]


def test_a_retired_key_is_gone_with_its_file(folder: KeyFolder, path: Path) -> None:
    old, new = folder.publish("ES256", NOW), folder.publish("ES256", NOW)
    folder.use(old, NOW + SPREAD)
    folder.use(new, NOW + SPREAD)
    folder.retire(old, LATER, longest_life=LIFE)
    folder.retire(SECRET, LATER, longest_life=LIFE, at_once=True)
    ring = folder.ring()

    assert ring.find(old) is None
    assert ring.find(Key.of_secret(SECRET_KEY).kid) is None
    assert sorted(file.name for file in path.iterdir()) == sorted([f"{new}.pem", MANIFEST])


def test_a_refused_step_changes_nothing(folder: KeyFolder, path: Path) -> None:
    kid = folder.publish("ES256", NOW)
    before = {file.name: file.read_bytes() for file in path.iterdir()}

    steps: list[Callable[[], None]] = [
        lambda: folder.use(kid, NOW),
        lambda: folder.use("../keys", NOW, at_once=True),
        lambda: folder.retire(SECRET, LATER, longest_life=LIFE),
        lambda: folder.retire("../../etc/passwd", LATER, longest_life=LIFE, at_once=True),
    ]
    for step in steps:
        with pytest.raises(KeyRefused):
            step()

    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_only_the_owner_may_read_what_it_writes(
    folder: KeyFolder, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = os.umask(0)
    try:
        folder.use(folder.publish("ES256", NOW), NOW, at_once=True)
    finally:
        os.umask(before)
    folder.ring()

    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}
    assert caplog.text == ""


def test_of_many_commands_at_once_each_counts_or_is_refused(folder: KeyFolder, path: Path) -> None:
    made, refused, all_ready = [], [], Barrier(8)

    def publish() -> None:
        all_ready.wait()
        try:
            made.append(folder.publish("ES256", NOW))
        except KeyRefused as error:
            refused.append(str(error))

    threads = [Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) + len(refused) == 8
    assert {*folder.manifest().keys} == {SECRET, *made}
    assert all("Another planner keys is at work" in text for text in refused)
    assert not (path / f"{MANIFEST}.new").exists()


def test_one_that_was_killed_is_told_with_the_remedy(folder: KeyFolder, path: Path) -> None:
    folder.publish("ES256", NOW)
    (path / f"{MANIFEST}.new").touch()

    with pytest.raises(KeyRefused, match=r"one was killed: delete keys\.json\.new there"):
        folder.publish("ES256", NOW)

    assert folder.ring()


def test_the_jwks_shows_public_members_alone(folder: KeyFolder) -> None:
    es256, rs256 = folder.publish("ES256", NOW), folder.publish("RS256", NOW)
    shown = {key["kid"]: key for key in folder.ring().jwks["keys"]}

    assert shown[es256].keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert shown[rs256].keys() == {"kty", "n", "e", "kid", "use", "alg"}
    assert {key["kty"] for key in shown.values()} == {"EC", "RSA"}  # no oct: SECRET_KEY is not among them
    for key in shown.values():
        assert not PRIVATE & key.keys()
        assert key["use"] == "sig"
        assert key["alg"] in {"ES256", "RS256"}


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


SHORT = 1_024
P256 = ec.generate_private_key(ec.SECP256R1())
BAD_FILES: dict[str, tuple[str, Callable[[], bytes | None], str]] = {
    "missing": ("ES256", lambda: None, "cannot be read: No such file"),
    "empty": ("ES256", lambda: b"", "no private key in PEM"),
    "half": ("ES256", lambda: pem(P256)[:100], "no private key in PEM"),
    "public": ("ES256", lambda: public(P256), "no private key in PEM"),
    "encrypted": ("ES256", lambda: pem(P256, b"hush"), "encrypted with a password"),
    "wrong curve": ("ES256", lambda: pem(ec.generate_private_key(ec.SECP384R1())), "no key of the curve P-256"),
    "RSA for ES256": ("ES256", lambda: pem(rsa.generate_private_key(65_537, 2_048)), "no key of the curve P-256"),
    "EC for RS256": ("RS256", lambda: pem(P256), "no RSA key"),
    "short RSA": ("RS256", lambda: pem(rsa.generate_private_key(65_537, SHORT)), "has 1024 bits; 2048 to 4096"),
    "another key": ("ES256", lambda: pem(P256), "holds another key"),
    "another algorithm": ("HS256", lambda: pem(P256), "neither ES256 nor RS256"),
}


@pytest.mark.parametrize(("algorithm", "content", "said"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_stops_the_start_in_a_line(
    with_keys: Settings, folder: KeyFolder, path: Path, algorithm: str, content: Callable[[], bytes | None], said: str
) -> None:
    kid = folder.publish("ES256", NOW)
    file, written = path / f"{kid}.pem", content()
    file.unlink()
    if written is not None:
        file.write_bytes(written)
    (path / MANIFEST).write_text((path / MANIFEST).read_text().replace("ES256", algorithm))

    with pytest.raises(SettingError) as told:
        Keys(with_keys)

    line = str(told.value)
    assert line.startswith(f"KEYS_FOLDER={str(path)!r}: {kid}.pem ")
    assert said in line
    assert "Restore it from a copy" in line
    assert "\n" not in line
    assert "BEGIN" not in line


@pytest.mark.parametrize("name", ["../keys", "x", "", "0123456789ABCDEF", "0123456789abcdef\n"])
def test_no_name_in_the_manifest_becomes_another_file(folder: KeyFolder, path: Path, name: str) -> None:
    kid = folder.publish("ES256", NOW)
    (path / MANIFEST).write_text((path / MANIFEST).read_text().replace(f'"{kid}"', json.dumps(name)))

    with pytest.raises(SettingError, match="is not named as planner keys names it"):
        folder.ring()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"signing": "x", "keys": {}}', "\ud800"])
def test_a_broken_manifest_stops_the_start_in_a_line(with_keys: Settings, path: Path, text: str) -> None:
    path.mkdir()
    (path / MANIFEST).write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(SettingError, match=r"^KEYS_FOLDER=.*: keys\.json is not as planner keys writes it\. .*$"):
        Keys(with_keys)


def test_a_folder_without_a_manifest_stops_the_start(with_keys: Settings) -> None:
    # SECRET_KEY may have been retired: it must not sign again because a folder was not mounted.
    with pytest.raises(SettingError, match=r"there is no keys\.json\. Make the first key with planner keys new"):
        Keys(with_keys)


def test_a_secret_that_is_a_pem_stops_the_start() -> None:
    with pytest.raises(SettingError, match=r"^SECRET_KEY=\(not shown\): must be no key's PEM") as told:
        Keys(settings_of("sqlite://unused.sqlite3", secret_key=public(P256).decode()))

    assert "BEGIN" not in str(told.value)


@pytest.mark.parametrize(("which", "mode", "warned"), [("*.pem", 0o604, True), ("*.pem", 0o640, False)])
def test_who_else_may_read_a_key_is_told(
    folder: KeyFolder, path: Path, which: str, mode: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kid = folder.publish("ES256", NOW)
    (path / f"{kid}.pem").chmod(mode)

    assert folder.ring()
    assert (f"{kid}.pem is open to every user of this machine: chmod o= " in caplog.text) == warned


@pytest.mark.parametrize("name", [".", MANIFEST])
def test_who_else_may_change_the_keys_is_told(
    folder: KeyFolder, path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.publish("ES256", NOW)
    (path / name).chmod(0o707)

    assert folder.ring()
    assert "open to every user of this machine" in caplog.text


def test_a_running_server_takes_what_has_changed(
    with_keys: Settings, folder: KeyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("planner.auth", "planner.audit"):
        caplog.set_level(logging.INFO, name)
    first = folder.publish("ES256", NOW)
    keys = Keys(with_keys)
    ring = keys.ring
    keys.look()
    assert keys.ring is ring  # nothing is read again where nothing has changed

    second = folder.publish("ES256", NOW)
    folder.use(second, NOW, at_once=True)
    keys.look()

    assert keys.ring.signing.kid == second
    assert kids(keys.ring) == [second, first]
    assert [record.message.partition(",")[0] for record in caplog.records] == [
        f"the keys have changed: {second} signs",
        "keys_changed",
    ]
    assert vars(caplog.records[-1])["facts"] == {"signing": second}


def test_what_cannot_be_read_changes_nothing_until_it_can(
    with_keys: Settings, folder: KeyFolder, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a folder is copied file by file, and the manifest comes first."""
    folder.publish("ES256", NOW)
    keys = Keys(with_keys)
    before = keys.ring
    kid = folder.publish("ES256", NOW)
    (path / f"{kid}.pem").rename(path / "late")

    keys.look()
    keys.look()
    assert keys.ring is before
    assert caplog.text.count("the keys stay as they were") == 1

    (path / "late").rename(path / f"{kid}.pem")
    keys.look()
    assert keys.ring.find(kid)

    for times in (1, 2):  # as when a network's disk is away for a while
        (path / MANIFEST).rename(path / "away")
        keys.look()
        assert keys.ring.find(kid)
        assert caplog.text.count("there is no keys.json") == times
        (path / "away").rename(path / MANIFEST)
        keys.look()


async def test_it_looks_again_and_again(
    with_keys: Settings, folder: KeyFolder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth.keys, "LOOK_EVERY_SECONDS", 0.01)
    folder.publish("ES256", NOW)
    keys = Keys(with_keys)
    watching = asyncio.create_task(keys.watch())
    try:
        async with asyncio.timeout(10):
            for _ in range(2):
                kid = folder.publish("ES256", NOW)
                while True:
                    if keys.ring.find(kid):
                        break
                    await asyncio.sleep(0.01)
    finally:
        watching.cancel()


async def test_without_a_folder_there_is_nothing_to_watch() -> None:
    await asyncio.wait_for(Keys(settings_of("sqlite://unused.sqlite3")).watch(), 1)


def test_no_key_is_in_what_it_shows(folder: KeyFolder) -> None:
    kid = folder.publish("ES256", NOW)
    ring = folder.ring()
    shown = f"{folder} {ring} {ring!r} {ring.signing} {ring.find(kid)!r}"

    assert "BEGIN" not in shown
    assert SECRET_KEY not in shown
