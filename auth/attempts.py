"""What is tried at accounts is counted, before anything is verified: a refusal costs no hash, and tells nothing.

Wrong tries stay counted. At a sign-in they are counted twice: of the address, and of the account. Those from
addresses where the account was signed in to in the last 30 days are counted for each such address alone, all others
together: whoever guesses from elsewhere, from however many addresses, does not keep its owner out. An e-mail that
nobody has is counted like any other. Right ones are counted of the address alone, and loosely: each costs a hash.

E-mails and addresses are counted, and kept, as hashes with a key of SECRET_KEY's.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from uuid import UUID

from prometheus_client import Counter

from auth import audit
from auth.client import Client
from errors import InvalidCredentials, RateLimited, RefreshTokenInvalid, Refusal, Unavailable
from models.place import KnownPlace
from replicas.limits import Count, Rates
from settings import Settings


class Kind(StrEnum):
    """What is tried."""

    SIGN_UP = "signup"
    SIGN_IN = "signin"
    PASSWORD = "password"  # noqa: S105 - no password
    REFRESH = "refresh"


REFUSED = Counter("planner_attempts_refused", "Tries that were refused since there were too many.", ["kind"])
for _kind in Kind:
    REFUSED.labels(_kind)  # from the start: of a series that begins at 1, Prometheus knows no increase

NOTED_EVERY = timedelta(days=1)
# Nobody guesses 32 random bytes, and many people's devices may refresh from one address: only a flood is refused.
REFRESHES_A_GUESS = 10
# Right passwords teach nothing, and a school may sign in from one address; but who has accounts has as much hashed.
RIGHT_ONES_A_GUESS = 10
# A /48 of IPv6 is one customer's, or many a phone's: strangers there may try as much as ten addresses.
ADDRESSES_A_NETWORK = 10


@dataclass(frozen=True)
class Place:
    """An account and an address. `seen_at` is None where nobody has signed in to the one from the other."""

    hash: str | None
    seen_at: datetime | None

    async def remember(self, user_id: UUID, now: datetime) -> None:
        """Part of the caller's transaction, in which the account's row is held."""
        if self.hash and (self.seen_at is None or self.seen_at <= now - NOTED_EVERY):
            await KnownPlace.remember(self.hash, user_id, now)


class Attempts:
    def __init__(self, settings: Settings, rates: Rates) -> None:
        self._rates = rates
        self._key = blake2b(settings.secret_key.encode(), person=b"planner.attempts").digest()
        self._sign_ups = settings.address_signups_per_hour
        self._at_address = settings.address_guesses_per_hour
        self._at_account = settings.account_guesses_per_hour
        self._refused = audit.Flood()

    async def sign_up(self, email_key: str, client: Client, now: datetime) -> Place:
        """Raises RateLimited. Counted whatever comes of it: a right one is what there can be too many of."""
        await self._take(Kind.SIGN_UP, client, now, *self._of_stranger("signup", client, self._sign_ups))
        return Place(self._place_hash(email_key, client), None)

    @asynccontextmanager
    async def sign_in(self, email: str, client: Client, now: datetime) -> AsyncIterator[Place]:
        """Around the verifying; `email` is the account's key, or text that is no e-mail. Raises RateLimited."""
        place_hash = self._place_hash(email, client)
        place = Place(place_hash, await KnownPlace.last_seen(place_hash, now) if place_hash else None)
        if place_hash and place.seen_at:
            counted_by = self._of_address
            of_account = Count("signin at home", place_hash, self._at_account)
        else:
            counted_by = self._of_stranger
            of_account = Count("signin", self._hash("account", email), self._at_account)
        async with self._hashing(Kind.SIGN_IN, client, now, of_account, counted_by):
            yield place
        if place.seen_at:
            await self._rates.clear(of_account)  # the owner was here

    @asynccontextmanager
    async def password(self, session_id: str, client: Client, now: datetime) -> AsyncIterator[None]:
        """Around the verifying of a signed-in account's password. Counted by the session: who has stolen its token
        keeps the owner neither from signing in nor from changing the password there. Raises RateLimited."""
        of_session = Count("password", session_id, self._at_account)
        async with self._hashing(Kind.PASSWORD, client, now, of_session, self._of_address):
            yield

    @asynccontextmanager
    async def refresh(self, client: Client, now: datetime) -> AsyncIterator[None]:
        """Around the trade. Raises RateLimited."""
        of_address = self._of_address("refresh", client, self._at_address * REFRESHES_A_GUESS)
        await self._take(Kind.REFRESH, client, now, *of_address)
        async with self._kept_where(RefreshTokenInvalid, *of_address):
            yield

    @asynccontextmanager
    async def _hashing(
        self,
        kind: Kind,
        client: Client,
        now: datetime,
        of_whom: Count,
        counted_by: Callable[[str, Client, int], tuple[Count, ...]],
    ) -> AsyncIterator[None]:
        """Around what verifies a password: what one address has hashed is counted in all, wrong and right apart."""
        wrong = (*counted_by("signin", client, self._at_address), of_whom)
        right = counted_by("right signin", client, self._at_address * RIGHT_ONES_A_GUESS)
        await self._take(kind, client, now, *wrong, *right)
        try:
            async with self._kept_where(InvalidCredentials, *wrong):
                yield
        except Refusal as refusal:
            await self._rates.give_back(*right)
            if isinstance(refusal, Unavailable):
                self._refused.note(f"{kind}_unavailable", client.address, now)
            raise

    @asynccontextmanager
    async def _kept_where(self, wrong: type[Refusal], *counts: Count) -> AsyncIterator[None]:
        """Around what was counted before it was known whether it is right: else a thousand tries at once would all find
        none counted. Gives it back, but where it was wrong, or nobody awaits what came of it."""
        try:
            yield
        except wrong:
            raise
        except Refusal:
            await self._rates.give_back(*counts)  # nothing was learnt
            raise
        await self._rates.give_back(*counts)

    async def _take(self, kind: Kind, client: Client, now: datetime, *counts: Count) -> None:
        try:
            await self._rates.take(*counts)
        except RateLimited:
            REFUSED.labels(kind).inc()
            self._refused.note(f"{kind}_limited", client.address, now)
            raise

    def _of_address(self, kind: str, client: Client, per_hour: int) -> tuple[Count, ...]:
        if client.address is None:
            return ()
        return (Count(f"{kind} from", self._hash("address", client.address), per_hour),)

    def _of_stranger(self, kind: str, client: Client, per_hour: int) -> tuple[Count, ...]:
        """Of the address, and of the network around it where that is more. Whoever is known at an address is not kept
        out by those around it."""
        of_address = self._of_address(kind, client, per_hour)
        if client.network is None or client.network == client.address:
            return of_address
        around = Count(f"{kind} around", self._hash("network", client.network), per_hour * ADDRESSES_A_NETWORK)
        return (*of_address, around)

    def _place_hash(self, email: str, client: Client) -> str | None:
        return self._hash("place", email, client.address) if client.address is not None else None

    def _hash(self, *parts: str) -> str:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")  # what is no e-mail can be any text
        return blake2b(text, digest_size=16, key=self._key).hexdigest()
