"""What is tried at accounts is counted, before anything is verified: a refusal costs no hash, and tells nothing.

Only wrong tries stay counted. At a sign-in they are counted twice: of the address, and of the account. Those from
addresses where the account was signed in to in the last 30 days are counted for each such address alone, all others
together: whoever guesses from elsewhere, from however many addresses, does not keep its owner out. An e-mail that
nobody has is counted like any other.

E-mails and addresses are counted, and kept, as hashes with a key of SECRET_KEY's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

from prometheus_client import Counter

from auth.client import Client
from errors import InvalidCredentials, RateLimited, RefreshTokenInvalid, Refusal
from models.place import KnownPlace
from replicas.limits import Count, Rates
from settings import Settings

REFUSED = Counter("planner_attempts_refused", "Tries that were refused since there were too many.", ["kind"])

NOTED_EVERY = timedelta(days=1)
# Nobody guesses 32 random bytes, and many people's devices may refresh from one address: only a flood is refused.
REFRESHES_A_GUESS = 10


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

    async def sign_up(self, email_key: str, client: Client) -> Place:
        """Raises RateLimited. Counted whatever comes of it: a right one is what there can be too many of."""
        await self._take("signup", *self._of_address("signup", client, self._sign_ups))
        return Place(self._place_hash(email_key, client), None)

    @asynccontextmanager
    async def sign_in(self, email: str, client: Client, now: datetime) -> AsyncIterator[Place]:
        """Around the verifying; `email` is the account's key, or text that is no e-mail. Raises RateLimited."""
        place_hash = self._place_hash(email, client)
        place = Place(place_hash, await KnownPlace.last_seen(place_hash, now) if place_hash else None)
        if place_hash and place.seen_at:
            of_account = Count("signin at home", place_hash, self._at_account)
        else:
            of_account = Count("signin", self._hash("account", email), self._at_account)
        of_address = self._of_address("signin", client, self._at_address)
        async with self._counted("signin", *of_address, of_account, wrong=InvalidCredentials):
            yield place
        if place.seen_at:
            await self._rates.clear(of_account)  # the owner was here

    @asynccontextmanager
    async def password(self, session_id: str, client: Client) -> AsyncIterator[None]:
        """Around the verifying of a signed-in account's password. Counted by the session: who has stolen its token
        keeps the owner neither from signing in nor from changing the password there. Raises RateLimited."""
        count = Count("password", session_id, self._at_account)
        # With the sign-ins of the address: what one address has hashed at a time is bounded in all.
        of_address = self._of_address("signin", client, self._at_address)
        async with self._counted("password", *of_address, count, wrong=InvalidCredentials):
            yield

    @asynccontextmanager
    async def refresh(self, client: Client) -> AsyncIterator[None]:
        """Around the trade. Raises RateLimited."""
        of_address = self._of_address("refresh", client, self._at_address * REFRESHES_A_GUESS)
        async with self._counted("refresh", *of_address, wrong=RefreshTokenInvalid):
            yield

    @asynccontextmanager
    async def _counted(self, kind: str, *counts: Count, wrong: type[Refusal]) -> AsyncIterator[None]:
        # Counted before it is known whether it is right: else a thousand tries at once would all find none counted.
        await self._take(kind, *counts)
        try:
            yield
        except wrong:
            raise
        except Refusal:
            await self._rates.give_back(*counts)  # nothing was learnt
            raise
        await self._rates.give_back(*counts)

    async def _take(self, kind: str, *counts: Count) -> None:
        try:
            await self._rates.take(*counts)
        except RateLimited:
            REFUSED.labels(kind).inc()
            raise

    def _of_address(self, kind: str, client: Client, per_hour: int) -> tuple[Count, ...]:
        if client.address is None:
            return ()
        return (Count(f"{kind} from", self._hash("address", client.address), per_hour),)

    def _place_hash(self, email: str, client: Client) -> str | None:
        return self._hash("place", email, client.address) if client.address is not None else None

    def _hash(self, *parts: str) -> str:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")  # what is no e-mail can be any text
        return blake2b(text, digest_size=16, key=self._key).hexdigest()
