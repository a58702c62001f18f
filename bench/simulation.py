"""The command `python -m bench.simulation`: what a queueing model says of more processes, read replicas and hot events.

A model, not a measurement: it knows costs (`Kind`), sizes (`Site`) and queues, and nothing else. A server process is
one core, which a request needs before its statement and after it, with a pool of connections; PostgreSQL is some cores,
and a lock on an event's row, held from the statement that changes it until the COMMIT is on the disk. Replicas answer
reads, behind by a lag. How far it is right, and what it leaves out: docs/scaling.md. `tests/bench/test_simulation.py`
holds it against queues whose results are known.
"""

import random
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import simpy

US, MS = 1e-6, 1e-3
Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Kind:
    """What one request costs, in seconds of a core: the server's, and PostgreSQL's."""

    name: str
    server: float
    postgresql: float
    writes: bool = False
    locks: bool = False  # an event's row, in a transaction of three round trips


# Of the commit 45bda5d on 10,000 events: what /proc says that the server and PostgreSQL's backends used, by the answers
# of 16 connections; medians of 3 rounds of 2 s, on two cores that did other work beside. See docs/scaling.md.
ONE_EVENT = Kind("one event", 129 * US, 45 * US)
LIST = Kind("list of 20", 291 * US, 217 * US)
VIEWED = Kind("viewer fields", 1_089 * US, 399 * US)
SEARCH = Kind("search", 508 * US, 1_499 * US)
TOTAL = Kind("totalCount", 839 * US, 7_197 * US)
CREATE = Kind("createEvent", 737 * US, 514 * US, writes=True)
# PostgreSQL's part of a place is a whole transaction by pgbench with one client and no flush; with ten that wait for
# one row its backends used 1,097 us, most of it in waiting.
RSVP = Kind("rsvp", 1_369 * US, 390 * US, writes=True, locks=True)

Mix = tuple[tuple[Kind, float], ...]
# Invented: 95 reads to 5 writes, most reads cheap. Nobody has measured what users of this ask for.
MIX: Mix = (
    (ONE_EVENT, 40.0),
    (LIST, 40.0),
    (VIEWED, 10.0),
    (SEARCH, 4.0),
    (TOTAL, 1.0),
    (CREATE, 2.0),
    (RSVP, 3.0),
)


@dataclass(frozen=True)
class Site:
    """How much there is of everything."""

    processes: int = 1
    pool: int = 10  # DATABASE_POOL_SIZE, of each process
    pool_wait: float = 5.0  # DATABASE_WAIT_SECONDS: then a request is UNAVAILABLE
    cores: int = 4  # PostgreSQL's, of the primary and of each replica
    replicas: int = 0
    lag: float = 50 * MS  # from a commit until a replica has it
    pinned: float = 0.5  # for so long whoever has written reads from the primary
    replayed: float = 0.3  # of a write's CPU, on each replica: assumed, it depends on the writes
    round_trip: float = 0.2 * MS  # between server and PostgreSQL, in one machine room
    flush: float = 1.0 * MS  # a COMMIT's wait for the disk, which needs no core
    hot: float = 0.5  # of the requests that lock: how many want the one hot event
    viewers: int = 2_000
    shape: float = 4.0  # of the gamma distribution of each cost: 1 is exponential


@dataclass
class Result:
    seconds: float
    waits: dict[str, list[float]] = field(default_factory=dict)  # from arrival to answer, by kind
    refused: int = 0
    stale: int = 0  # reads on a replica that had not yet what this viewer had written
    from_replicas: int = 0
    busy: dict[str, float] = field(default_factory=dict)  # shares of the cores that were in use

    @property
    def answered(self) -> int:
        return sum(map(len, self.waits.values()))

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def quantile(self, share: float, kind: str | None = None) -> float:
        """In seconds; of all kinds, or of one."""
        chosen = self.waits.values() if kind is None else [self.waits.get(kind, [])]
        ordered = sorted(wait for each in chosen for wait in each)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


class Simulation:
    """One run. With a `rate` requests arrive as they like (Poisson); with `clients`, each asks again when it has its
    answer."""

    def __init__(self, site: Site, mix: Mix, *, seconds: float, warm: float = 0.0, seed: int = 1) -> None:
        self.site, self.seconds, self.warm = site, seconds, warm
        self._chance = random.Random(seed)  # noqa: S311 - a seed, so that a table is the same twice
        self._kinds, self._weights = [kind for kind, _ in mix], [weight for _, weight in mix]
        self._clock = simpy.Environment()
        self._servers = [simpy.Resource(self._clock) for _ in range(site.processes)]
        self._pools = [simpy.Resource(self._clock, site.pool) for _ in range(site.processes)]
        # A process has a pool for each database it reads from.
        self._read_pools = [simpy.Resource(self._clock, site.pool) for _ in range(site.processes)]
        self._primary = simpy.Resource(self._clock, site.cores)
        self._replicas = [simpy.Resource(self._clock, site.cores) for _ in range(site.replicas)]
        self._hot_row = simpy.Resource(self._clock)
        self._wrote: dict[int, float] = {}  # when each viewer last wrote
        self._used: dict[int, float] = {}
        self._result = Result(seconds)

    def run(self, *, rate: float = 0.0, clients: int = 0) -> Result:
        if rate:
            self._clock.process(self._arrivals(rate))
        for _ in range(clients):
            self._clock.process(self._client())
        self._clock.run(until=self.warm + self.seconds)
        named = {"servers": self._servers, "primary": [self._primary], "replicas": self._replicas}
        for name, those in named.items():
            cores = sum(one.capacity for one in those)
            used = sum(self._used.get(id(one), 0.0) for one in those)
            self._result.busy[name] = used / cores / self.seconds if cores else 0.0
        return self._result

    def _arrivals(self, rate: float) -> Steps:
        while True:
            yield self._clock.timeout(self._chance.expovariate(rate))
            self._clock.process(self._request())

    def _client(self) -> Steps:
        while True:
            yield from self._request()

    def _request(self) -> Steps:
        began = self._clock.now
        (kind,) = self._chance.choices(self._kinds, self._weights)
        at, viewer = self._chance.randrange(self.site.processes), self._chance.randrange(self.site.viewers)
        server = self._servers[at]
        database, pool = self._database(kind, viewer, at)
        yield from self._use(server, kind.server / 2)
        with pool.request() as connection:
            yield connection | self._clock.timeout(self.site.pool_wait)
            if not connection.triggered:
                self._result.refused += self._counts
                return
            if kind.locks:
                yield from self._transaction(kind, server)
            else:
                yield from self._statement(database, kind.postgresql)
                if kind.writes:
                    yield self._clock.timeout(self.site.flush)
        if kind.writes:
            self._wrote[viewer] = self._clock.now
            self._clock.process(self._replay(kind))
        yield from self._use(server, kind.server / (4 if kind.locks else 2))
        if self._counts:
            self._result.waits.setdefault(kind.name, []).append(self._clock.now - began)

    def _database(self, kind: Kind, viewer: int, at: int) -> tuple[simpy.Resource, simpy.Resource]:
        """Who answers, and by which pool."""
        ago = self._clock.now - self._wrote.get(viewer, -1e9)
        if kind.writes or not self._replicas or ago < self.site.pinned:
            return self._primary, self._pools[at]
        self._result.from_replicas += self._counts
        self._result.stale += self._counts and ago < self.site.lag
        return self._chance.choice(self._replicas), self._read_pools[at]

    def _transaction(self, kind: Kind, server: simpy.Resource) -> Steps:
        """BEGIN; the statement, which waits for the row; COMMIT. Between any two the server's event loop has its turn,
        and whoever stands before it there keeps the row's next waiter waiting too."""
        between = kind.server / 8
        yield self._clock.timeout(self.site.round_trip)
        yield from self._use(server, between)
        yield self._clock.timeout(self.site.round_trip)  # the statement's way there, and the COMMIT's way back
        # Of many events, few are wanted by two at the same moment: their rows are free.
        if self._chance.random() >= self.site.hot:
            yield from self._locked(kind, server, between)
        else:
            with self._hot_row.request() as row:
                yield row
                yield from self._locked(kind, server, between)

    def _locked(self, kind: Kind, server: simpy.Resource, between: float) -> Steps:
        yield from self._use(self._primary, kind.postgresql)
        yield self._clock.timeout(self.site.round_trip)
        yield from self._use(server, between)
        yield self._clock.timeout(self.site.flush)

    def _statement(self, database: simpy.Resource, mean: float) -> Steps:
        yield self._clock.timeout(self.site.round_trip)
        yield from self._use(database, mean)

    def _replay(self, kind: Kind) -> Steps:
        yield self._clock.timeout(self.site.lag)
        for replica in self._replicas:
            self._clock.process(self._use(replica, kind.postgresql * self.site.replayed))

    def _use(self, cores: simpy.Resource, mean: float) -> Steps:
        if not mean:
            return
        with cores.request() as turn:
            yield turn
            seconds = self._chance.gammavariate(self.site.shape, mean / self.site.shape)
            yield self._clock.timeout(seconds)
            if self._counts:
                self._used[id(cores)] = self._used.get(id(cores), 0.0) + seconds

    @property
    def _counts(self) -> bool:
        return bool(self._clock.now >= self.warm)


def most(site: Site, mix: Mix = MIX, *, seconds: float = 1.0, seed: int = 1) -> Result:
    """What is answered where more is asked than can be: as many clients as fill every pool twice."""
    clients = 2 * site.pool * site.processes
    return Simulation(site, mix, seconds=seconds, warm=site.pinned, seed=seed).run(clients=clients)


def at_load(site: Site, rate: float, mix: Mix = MIX, *, seconds: float = 1.0, seed: int = 1) -> Result:
    return Simulation(site, mix, seconds=seconds, warm=site.pinned, seed=seed).run(rate=rate)


def hot_event(site: Site, *, seconds: float = 2.0) -> Result:
    """One event that everybody wants a place at, and nothing else."""
    return most(replace(site, hot=1.0), ((RSVP, 1.0),), seconds=seconds)


def rush(site: Site, rsvps: float, reads: float, *, seconds: float = 8.0) -> Result:
    """So many want a place at one event each second, while others read."""
    mix = ((RSVP, rsvps), (ONE_EVENT, reads / 2), (LIST, reads / 2))
    return at_load(replace(site, hot=1.0), rsvps + reads, mix, seconds=seconds)


# One point of docs/performance.md, its run of the commit c53a1f5: the list of 20 by the server on a core of its own.
MEASURED_RATE, MEASURED_MEDIAN = 697.0, 20.23 * MS
MEASURED = Kind("list of 20, c53a1f5", 1_420 * US, LIST.postgresql)


def at_the_measured_point() -> Result:
    site = Site(processes=1, cores=1, round_trip=0.05 * MS)
    return Simulation(site, ((MEASURED, 1.0),), seconds=20.0, warm=1.0).run(clients=16)


def tables() -> Iterator[str]:
    yield from _most_of_each()
    yield from _times_by_load()
    yield from _hot_events()
    yield from _rushes()
    found = at_the_measured_point()
    rate, median = found.rate, found.quantile(0.5)
    yield (
        f"measured {MEASURED_RATE:.0f}/s, median {MEASURED_MEDIAN / MS:.1f} ms; the model {rate:.0f}/s"
        f" ({rate / MEASURED_RATE - 1:+.0%}), {median / MS:.1f} ms ({median / MEASURED_MEDIAN - 1:+.0%})"
    )


def _most_of_each() -> Iterator[str]:
    yield "As much as it bears: the mix, of cores in use"
    yield _row("processes", "replicas", "answers/s", "servers", "primary", "replica")
    for site in _sites():
        found = most(site)
        used = (f"{found.busy[name]:.0%}" for name in ("servers", "primary", "replicas"))
        yield _row(site.processes, site.replicas, f"{found.rate:,.0f}", *used)


def _times_by_load() -> Iterator[str]:
    yield "\nTimes by load: at half of that, and at four fifths"
    yield _row("processes", "replicas", "asked/s", "p50 ms", "p99 ms", "from repl.")
    for site in _sites():
        bears = most(site).rate
        for share in (0.5, 0.8):
            found = at_load(site, share * bears)
            from_replicas = f"{found.from_replicas / found.answered:.0%}"
            yield _row(site.processes, site.replicas, f"{share * bears:,.0f}", *_times(found), from_replicas)


def _hot_events() -> Iterator[str]:
    yield "\nOne event, and everybody wants a place at it"
    yield _row("processes", "flush ms", "rsvps/s", "p50 ms", "p99 ms")
    for flush in (0.1, 1.0, 2.5):
        for processes in (1, 2, 4, 8):
            found = hot_event(Site(processes=processes, flush=flush * MS))
            yield _row(processes, flush, f"{found.rate:,.0f}", *_times(found))


def _rushes() -> Iterator[str]:
    yield "\nA rush to one event, beside 1,000 reads a second, 4 processes"
    yield _row("rsvps/s", "refused", "reads p50", "reads p99", "rsvp p50", "rsvp p99")
    for rsvps in (100, 200, 400, 800):
        found = rush(Site(processes=4), rsvps, 1_000)
        yield _row(rsvps, found.refused, *_times(found, LIST.name), *_times(found, RSVP.name))


def _sites() -> Iterator[Site]:
    for replicas in (0, 1, 2):
        for processes in (1, 2, 4, 8):
            yield Site(processes=processes, replicas=replicas)


def _times(found: Result, kind: str | None = None) -> tuple[str, str]:
    return f"{found.quantile(0.5, kind) / MS:.1f}", f"{found.quantile(0.99, kind) / MS:.1f}"


def _row(*cells: object) -> str:
    return "".join(f"{cell:>11}" for cell in cells)


if __name__ == "__main__":
    for line in tables():
        sys.stdout.write(f"{line}\n")
