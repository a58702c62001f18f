"""Passwords: which are too weak, and how they are hashed and verified, off the event loop.

passlib is kept behind this file. bcrypt_sha256 is written, since bcrypt alone looks at no more than 72 bytes and at
nothing behind a NUL; plain bcrypt is still verified, and upgraded at the next sign-in.
"""

import asyncio
import os
import threading
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from math import ceil
from typing import TypeVar

from passlib.context import CryptContext
from passlib.hash import bcrypt_sha256

from auth.hashing import FairPool, Full, Stopped
from errors import Unavailable
from models.text import fold
from settings import Settings

LONGEST = 256
_LONGEST_TYPED = 4 * LONGEST  # a character may be typed in up to four: a letter and its accents
_SECONDS_AT_12 = 0.25  # that a hash takes at cost 12; each step of the cost doubles it. An estimate, for retryAfter

T = TypeVar("T")


def weakness(password: str, *, shortest: int, own_names: Iterable[str]) -> str | None:
    """What is wrong with a new password, or None. `own_names` are the account's e-mail and username, in any spelling.

    After NIST SP 800-63B-4 §3.1.1.2: its length and a blocklist, no rules of composition.
    """
    if _unencodable(password):
        return "holds half of a surrogate pair, which is no character. Type it again."
    normal = _normal(password)
    if normal is None:
        return f"must have at most {LONGEST} characters."
    if len(normal) < shortest:
        return f"must have at least {shortest} characters."
    if fold(normal) in {fold(name) for name in own_names}:
        return "must not be the e-mail or the username."
    if fold(normal) in common_passwords():
        return "is on the lists of common passwords that attackers try first. Choose another."
    return None


@cache
def common_passwords() -> frozenset[str]:
    """The 30,000 commonest of public leaks, as the package zxcvbn ships them."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # 1 MB of text: read at the first use

    return frozenset(FREQUENCY_LISTS["passwords"])


class Passwords:
    """Hashes in a pool of one thread a core. When more than `queue` wait, the next is refused at once. Who asks is any
    text, the same for those who are to share one place in the line."""

    def __init__(self, settings: Settings) -> None:
        self._context = CryptContext(
            ["bcrypt_sha256", "bcrypt"],
            deprecated="auto",
            bcrypt_sha256__rounds=settings.bcrypt_cost,
            bcrypt__rounds=settings.bcrypt_cost,
        )
        self._seconds_a_hash = _SECONDS_AT_12 * 2.0 ** (settings.bcrypt_cost - 12)
        # Of this cost and those of the hashes met: what every wrong password costs.
        self._dearest = settings.bcrypt_cost
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = FairPool(threads, settings.bcrypt_queue, _yield_to_the_loop)

    async def warm(self) -> None:
        """What the first call alone would have to do: bcrypt tries itself out, and the common passwords are read."""
        await self._off_the_loop(lambda: _burn(bcrypt_sha256.min_rounds))
        await asyncio.to_thread(common_passwords)

    def stop(self) -> None:
        """What is being hashed is hashed to its end, and nothing more is."""
        self._pool.stop()

    def close(self) -> None:
        self._pool.close()

    @property
    def pending(self) -> int:
        """Hashes that are not done yet, whether they wait or are being worked on."""
        return self._pool.pending

    async def hash(self, password: str, asker: str = "") -> str:
        """Of one that `weakness` found nothing wrong with. Raises Unavailable when too many wait, or the
        server stops."""
        return await self._off_the_loop(lambda: str(self._context.hash(_normal(password))), asker)

    async def verify(self, password: str, hashed: str | None, asker: str = "") -> tuple[bool, str | None]:
        """Whether they match, and a new hash where the kept one is of an older kind or of another cost. Without a
        hash (nobody has this e-mail) it takes as long, and answers no. Raises Unavailable when too many wait."""
        return await self._off_the_loop(lambda: self._verify(password, hashed), asker)

    def _verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        normal = None if _unencodable(password) else _normal(password)
        if hashed is not None and normal is not None:
            try:
                cost = self._cost(hashed)
                self._dearest = max(self._dearest, cost)
                matches, new = self._context.verify_and_update(normal, hashed)
                if not matches:
                    # Hashes of an older cost stay until their owners sign in. Work of 2^cost has been done; with
                    # 2^cost + 2^(cost + 1) + ... + 2^(dearest - 1) more it is 2^dearest, as for an unknown account.
                    for each in range(cost, self._dearest):
                        _burn(each)
                return bool(matches), new
            except ValueError:
                pass  # a NUL, where the kept hash is plain bcrypt: refused before anything is hashed
        # Hash all the same: the time taken must not tell who has an account.
        _burn(self._dearest)
        return False, None

    def _cost(self, hashed: str) -> int:
        """Raises ValueError where it is no hash of a kind that is known."""
        kind = self._context.identify(hashed, resolve=True, required=True)
        cost: int = kind.from_string(hashed).rounds
        return cost

    async def _off_the_loop(self, work: Callable[[], T], asker: str = "") -> T:
        try:
            return await asyncio.wrap_future(self._pool.submit(work, asker))
        except Full as full:
            wait = ceil(full.pending * self._seconds_a_hash / self._pool.threads)
            raise Unavailable("Too many people are signing in.", retry_after=wait) from None
        except Stopped:
            raise Unavailable("This server stops.", retry_after=1) from None


def _burn(cost: int) -> None:
    bcrypt_sha256.using(rounds=cost).hash("")


def _normal(password: str) -> str | None:
    """The password as it is hashed, in whatever Unicode form it was typed; None where it is too long."""
    # The first bound is for the server's sake: a megabyte of accents would take minutes to put into their order.
    if len(password) > _LONGEST_TYPED:
        return None
    normal = unicodedata.normalize("NFKC", password)
    return normal if len(normal) <= LONGEST else None


def _unencodable(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _yield_to_the_loop() -> None:
    # bcrypt keeps every core busy for as long as people sign in: at a lower priority than the event loop's thread, so
    # that reads go on. Linux alone gives threads priorities of their own.
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
