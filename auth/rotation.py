"""How keys come and go without a token refused: published, then signing, then retired. Rules only: no file is touched.

- A key is published: every server verifies with it, and JWKS shows it, before anything is signed with it.
- It signs once everybody knows it, SPREAD after it was published. The key that signed before goes on verifying.
- It is retired when no token that it signed can be good any more.

Each step can be done at once, after a leak: then what is in use is refused, and that is meant.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Self

SECRET = "SECRET_KEY"  # noqa: S105 - the name of the key that is a setting, and in no file
# Servers look every few seconds, but a folder may have to be copied to them; and who verifies with our JWKS may keep it
# for as long as web/jwks.py says.
SPREAD = timedelta(minutes=10)


class KeyRefused(Exception):
    """A step that would have tokens refused, or that cannot be done. The text says what to do instead."""


@dataclass(frozen=True)
class Entry:
    """`signed_until` is None for a key that has never signed, and for the one that does."""

    algorithm: str
    published_at: datetime
    signed_until: datetime | None = None


@dataclass(frozen=True)
class Manifest:
    """Which keys there are, by name, and which of them signs: what keys.json says."""

    signing: str
    keys: MappingProxyType[str, Entry]

    @classmethod
    def first(cls, now: datetime) -> Self:
        """Of a folder that has no key yet."""
        return cls(SECRET, MappingProxyType({SECRET: Entry("HS256", now)}))

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError, KeyError, TypeError or AttributeError on whatever `text` did not write."""
        said = json.loads(text)
        keys = {
            name: Entry(
                one["algorithm"],
                _instant(one["publishedAt"]),
                None if one["signedUntil"] is None else _instant(one["signedUntil"]),
            )
            for name, one in said["keys"].items()
        }
        if said["signing"] not in keys:
            raise ValueError("no key signs")
        return cls(said["signing"], MappingProxyType(keys))

    @property
    def text(self) -> str:
        keys = {
            name: {
                "algorithm": one.algorithm,
                "publishedAt": one.published_at.isoformat(),
                "signedUntil": one.signed_until and one.signed_until.isoformat(),
            }
            for name, one in self.keys.items()
        }
        return json.dumps({"signing": self.signing, "keys": keys}, indent=2) + "\n"

    def publish(self, name: str, algorithm: str, now: datetime) -> Self:
        return self._with({**self.keys, name: Entry(algorithm, now)})

    def use(self, name: str, now: datetime, *, at_once: bool = False) -> Self:
        """Has the key sign from now on. Raises KeyRefused."""
        entry = self._entry(name)
        if name == self.signing:
            raise KeyRefused(f"Key {name} signs already.")
        ready = self.ready_at(name)
        if now < ready and not at_once:
            raise KeyRefused(
                f"Key {name} is not known everywhere yet, and what it signs could be refused until {told(ready)}. "
                "Use it then; or at once with --now, when the key that signs has leaked."
            )
        before = self.keys[self.signing]
        keys = {**self.keys, self.signing: replace(before, signed_until=now), name: replace(entry, signed_until=None)}
        return replace(self._with(keys), signing=name)

    def retire(self, name: str, now: datetime, *, longest_life: timedelta, at_once: bool = False) -> Self:
        """Without the key. `longest_life` is how long after its signing a token can be good. Raises KeyRefused."""
        self._entry(name)
        if name == self.signing:
            raise KeyRefused(f"Key {name} signs. Have another sign first: planner keys new, then planner keys use KID.")
        retirable = self.retirable_at(name, longest_life)
        if now < retirable and not at_once:
            raise KeyRefused(
                f"Tokens that key {name} signed are good until {told(retirable)}. "
                "Retire it then; or at once with --now, when it has leaked."
            )
        return self._with({other: entry for other, entry in self.keys.items() if other != name})

    def ready_at(self, name: str) -> datetime:
        """From when on everybody knows the key. One that has signed before is known."""
        entry = self.keys[name]
        return entry.published_at + SPREAD if entry.signed_until is None else entry.published_at

    def retirable_at(self, name: str, longest_life: timedelta) -> datetime:
        """From when on no token of the key's is good. Some servers may have signed with it for SPREAD more."""
        entry = self.keys[name]
        return entry.published_at if entry.signed_until is None else entry.signed_until + SPREAD + longest_life

    def _entry(self, name: str) -> Entry:
        if name not in self.keys:
            raise KeyRefused(f"There is no key {name}. There are: {', '.join(self.keys)}.")
        return self.keys[name]

    def _with(self, keys: dict[str, Entry]) -> Self:
        return replace(self, keys=MappingProxyType(keys))


def told(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _instant(text: str) -> datetime:
    """Raises ValueError on one without an offset, which could not be compared with now."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without an offset")
    return instant
