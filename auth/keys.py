"""The keys of access tokens: read here, and nowhere else.

SECRET_KEY is one of them (HS256), and the only one where KEYS_FOLDER is not set. The others are files in that folder
(ES256, RS256), and its keys.json says which there are and which of them signs; auth/rotation.py has the rules.

Every key is parsed once, when it is read: from text, each signature of RSA's would cost 39 ms. A key has one algorithm,
its own: a token says by `kid` which key it needs, and is never asked how to use it. So no public key is ever a secret
of HMAC's.
"""

import asyncio
import base64
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk
from jose.backends.base import Key as JoseKey
from jose.exceptions import JWKError

from auth import audit
from auth.rotation import SECRET, KeyRefused, Manifest
from settings import NEW_SECRET, ROOT, SettingError, Settings

log = logging.getLogger("planner.auth")

MANIFEST = "keys.json"
LOOK_EVERY_SECONDS = 2.0
RSA_BITS = 3_072
RSA_FEWEST_BITS, RSA_MOST_BITS = 2_048, 4_096  # with more, a token would be longer than one may be
# Of each kind of key, what JWKS shows (RFC 7518 §6): whatever else a key has is private.
PUBLIC_MEMBERS = {"ES256": ("kty", "crv", "x", "y"), "RS256": ("kty", "n", "e")}
_KID = re.compile(r"[0-9a-f]{16}")  # also the name of a file: no other text becomes one


@dataclass(frozen=True, repr=False)  # a repr ends in logs
class Key:
    """Private and public half, both parsed. For HS256 they are the same."""

    kid: str
    algorithm: str
    signer: JoseKey
    verifier: JoseKey

    @classmethod
    def of_secret(cls, secret: str) -> Self:
        raw = secret.encode()
        try:
            key = jwk.construct(raw, "HS256")
        except JWKError:  # a PEM, which may be a public key
            raise SettingError(f"SECRET_KEY=(not shown): must be no key's PEM. {NEW_SECRET}") from None
        return cls(base64.urlsafe_b64encode(hashlib.sha256(b"kid" + raw).digest()[:9]).decode(), "HS256", key, key)

    @classmethod
    def of_pem(cls, pem: bytes, algorithm: str) -> Self:
        """Its kid is made of its public half. Raises ValueError, which says what is wrong."""
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except TypeError:
            raise ValueError("is encrypted with a password") from None
        except Exception:  # whatever cryptography raises, its text may hold a part of the key
            raise ValueError("is no private key in PEM") from None
        if algorithm == "ES256":
            if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
                raise ValueError("is no key of the curve P-256, which ES256 needs")
        elif algorithm == "RS256":
            if not isinstance(private, rsa.RSAPrivateKey):
                raise ValueError("is no RSA key, which RS256 needs")
            if not RSA_FEWEST_BITS <= private.key_size <= RSA_MOST_BITS:
                raise ValueError(f"has {private.key_size} bits; {RSA_FEWEST_BITS} to {RSA_MOST_BITS} are allowed")
        else:
            raise ValueError("has an algorithm that is neither ES256 nor RS256")
        public = private.public_key()
        form = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        kid = hashlib.sha256(form).hexdigest()[:16]
        return cls(kid, algorithm, jwk.construct(private, algorithm), jwk.construct(public, algorithm))

    @property
    def published(self) -> dict[str, str] | None:
        """As JWKS shows it (RFC 7517 §4): None where there is no public half."""
        if self.algorithm not in PUBLIC_MEMBERS:
            return None
        members = self.verifier.to_dict()
        return {
            **{name: members[name] for name in PUBLIC_MEMBERS[self.algorithm]},
            "kid": self.kid,
            "use": "sig",
            "alg": self.algorithm,
        }


class Ring:
    """The keys as they are at one time. It does not change; the next one takes its place."""

    def __init__(self, signing: Key, *others: Key) -> None:
        self.signing = signing
        self._by_kid = {key.kid: key for key in (signing, *others)}

    def __str__(self) -> str:
        return f"{self.signing.kid} signs, {', '.join(self._by_kid)} verify"

    def find(self, kid: str) -> Key | None:
        return self._by_kid.get(kid)

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        return {"keys": [key.published for key in self._by_kid.values() if key.published]}


class KeyFolder:
    """KEYS_FOLDER: a PEM for each key, named by its kid, and the manifest. Several servers may read one."""

    def __init__(self, settings: Settings) -> None:
        self._path = ROOT / settings.keys_folder
        self._secret = Key.of_secret(settings.secret_key)
        self._named = f"KEYS_FOLDER={settings.keys_folder!r}"

    def __str__(self) -> str:
        return self._named

    @property
    def is_empty(self) -> bool:
        """No key was ever made in it, or its manifest is lost."""
        return not (self._path / MANIFEST).exists()

    def version(self) -> tuple[int, ...]:
        """Another one after each change. Raises SettingError where there is no manifest."""
        try:
            known = (self._path / MANIFEST).stat()
        except FileNotFoundError:
            raise SettingError(
                f"{self._named}: there is no {MANIFEST}. Make the first key with planner keys new, "
                "or leave KEYS_FOLDER empty."
            ) from None
        except OSError as error:
            raise SettingError(f"{self._named}: {MANIFEST} cannot be read: {error.strerror}.") from None
        return known.st_mtime_ns, known.st_size, known.st_ino

    def manifest(self) -> Manifest:
        """Raises SettingError."""
        self.version()
        try:
            return Manifest.read((self._path / MANIFEST).read_text("utf-8"))
        except OSError as error:
            raise SettingError(f"{self._named}: {MANIFEST} cannot be read: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingError(
                f"{self._named}: {MANIFEST} is not as planner keys writes it. Restore it from a copy; or empty the "
                "folder and run planner keys new: SECRET_KEY then signs again, and clients refresh their tokens."
            ) from None

    def ring(self) -> Ring:
        """Raises SettingError with every bad file, a line each."""
        manifest = self.manifest()
        self._warn_where_open(self._path, 0o002)
        self._warn_where_open(self._path / MANIFEST, 0o002)
        keys, problems = {}, []
        for name, entry in manifest.keys.items():
            try:
                keys[name] = self._secret if name == SECRET else self._read(name, entry.algorithm)
            except (OSError, ValueError) as error:
                reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
                problems.append(f"{self._named}: {name}.pem {reason}. Restore it from a copy, or retire the key.")
        if problems:
            raise SettingError("\n".join(problems))
        signing = keys.pop(manifest.signing)
        return Ring(signing, *keys.values())

    def _read(self, kid: str, algorithm: str) -> Key:
        """Raises OSError, and ValueError, which says what is wrong."""
        if not _KID.fullmatch(kid):
            raise ValueError("is not named as planner keys names it")
        self._warn_where_open(self._pem(kid), 0o007)
        key = Key.of_pem(self._pem(kid).read_bytes(), algorithm)
        if key.kid != kid:
            raise ValueError(f"holds another key, {key.kid}")
        return key

    def _pem(self, kid: str) -> Path:
        return self._path / f"{kid}.pem"

    @staticmethod
    def _warn_where_open(file: Path, bits: int) -> None:
        # Others than owner and group: an orchestrator may hand files to a process by its group.
        if file.stat().st_mode & bits:
            log.warning("%s is open to every user of this machine: chmod o= %s", file.name, file)

    def publish(self, algorithm: str, now: datetime) -> str:
        """A new key: its kid. It verifies at once, and signs when it is told to. Raises KeyRefused, SettingError."""
        private = (
            rsa.generate_private_key(65_537, RSA_BITS)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        kid = Key.of_pem(pem, algorithm).kid

        def with_the_key() -> Manifest:
            manifest = Manifest.first(now) if self.is_empty else self.manifest()
            with _create(self._pem(kid)) as file:  # before the manifest names it
                _write(file, pem)
            return manifest.publish(kid, algorithm, now)

        with self._refused():
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._change(with_the_key)
        return kid

    def use(self, name: str, now: datetime, *, at_once: bool = False) -> None:
        """Raises KeyRefused, SettingError."""
        self.version()  # there are keys at all
        self._change(lambda: self.manifest().use(name, now, at_once=at_once))

    def retire(self, name: str, now: datetime, *, longest_life: timedelta, at_once: bool = False) -> None:
        """Ends the key, and deletes its file. Raises KeyRefused, SettingError."""
        self.version()
        self._change(lambda: self.manifest().retire(name, now, longest_life=longest_life, at_once=at_once))
        if name != SECRET:
            with self._refused():
                self._pem(name).unlink(missing_ok=True)

    def _change(self, next_manifest: Callable[[], Manifest]) -> None:
        """Puts the next manifest in place, as a whole. Its file is the lock too: one command at a time."""
        new = self._path / f"{MANIFEST}.new"
        with self._refused():
            try:
                file = _create(new)
            except FileExistsError:
                raise KeyRefused(
                    f"Another planner keys is at work in {self._named}. If there is none, one was killed: "
                    f"delete {new.name} there."
                ) from None
            try:
                with file:
                    _write(file, next_manifest().text.encode())
                os.replace(new, self._path / MANIFEST)
            except BaseException:
                new.unlink()
                raise
            _sync(self._path)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """What the disk refuses, in a line."""
        try:
            yield
        except OSError as error:
            raise KeyRefused(f"{self._named} cannot be changed: {error.strerror}: {error.filename}.") from None


class Keys:
    """The ring in use. `watch` keeps up with the folder, so that no server needs a restart for a new key."""

    def __init__(self, settings: Settings) -> None:
        self._folder = KeyFolder(settings) if settings.keys_folder else None
        self._trouble = ""
        if self._folder:
            self._version = self._folder.version()
            self.ring = self._folder.ring()
        else:
            self.ring = Ring(Key.of_secret(settings.secret_key))

    async def watch(self) -> None:
        """Until it is cancelled; returns at once where there is no folder. Requests never wait for the disk."""
        while self._folder:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Takes the folder's ring, where it has changed. One that cannot be read changes nothing, and is logged."""
        assert self._folder is not None  # noqa: S101 - `watch` asks
        try:
            version = self._folder.version()  # before it is read: what changes meanwhile is seen the next time
            if version == self._version and not self._trouble:
                return
            self.ring, self._version, self._trouble = self._folder.ring(), version, ""
        except Exception as error:  # whatever it is: without a watch, a leaked key would stay good
            trouble = str(error)
            if trouble != self._trouble:
                log.error("the keys stay as they were: %s", trouble, exc_info=not isinstance(error, SettingError))
            self._trouble = trouble or repr(error)
            return
        log.info("the keys have changed: %s", self.ring)
        audit.note("keys_changed", signing=self.ring.signing.kid)


def _create(file: Path) -> IO[bytes]:
    """Its owner's alone from its first moment on. Raises FileExistsError."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    # Else a power failure could undo the manifest's change, and keep that a retired key's file is gone.
    if hasattr(os, "O_DIRECTORY"):
        opened = os.open(folder, os.O_DIRECTORY)
        os.fsync(opened)
        os.close(opened)
