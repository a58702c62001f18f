"""The model against queues whose results are known, and against one measured point."""

from math import factorial

import pytest

from bench.simulation import (
    MEASURED_MEDIAN,
    MEASURED_RATE,
    MS,
    Kind,
    Result,
    Simulation,
    Site,
    at_load,
    at_the_measured_point,
    most,
    rush,
)

# Costs that are exponential, no way there and back, no bound on who waits: what the textbooks calculate.
TEXTBOOK = Site(pool=10_000, pool_wait=1e9, round_trip=0.0, flush=0.0, shape=1.0)
READ = Kind("read", 0.0, 10 * MS)


def mean(result: Result) -> float:
    waits = [wait for each in result.waits.values() for wait in each]
    return sum(waits) / len(waits)


def textbook(cores: int, rate: float, seconds: float) -> Result:
    site = Site(**{**vars(TEXTBOOK), "cores": cores})
    return Simulation(site, ((READ, 1.0),), seconds=seconds, warm=seconds / 10).run(rate=rate)


def test_one_core_keeps_whom_it_serves_as_long_as_m_m_1() -> None:
    found = textbook(cores=1, rate=70, seconds=600)

    assert mean(found) == pytest.approx(1 / (100 - 70), rel=0.1)
    assert found.busy["primary"] == pytest.approx(0.7, rel=0.05)


def test_four_cores_keep_whom_they_serve_as_long_as_erlang_c_says() -> None:
    cores, offered = 4, 3.2
    full = offered**cores / factorial(cores) / (1 - offered / cores)
    waits = full / (sum(offered**n / factorial(n) for n in range(cores)) + full)

    found = textbook(cores, rate=offered * 100, seconds=150)

    assert mean(found) == pytest.approx(10 * MS + waits / (cores * 100 - offered * 100), rel=0.1)


def test_clients_that_wait_for_their_answer_obey_little() -> None:
    site = Site(processes=2, cores=2)

    found = Simulation(site, ((Kind("read", 2 * MS, 1 * MS), 1.0),), seconds=20, warm=1).run(clients=12)

    assert found.rate * mean(found) == pytest.approx(12, rel=0.02)


@pytest.mark.parametrize("processes", [1, 8])
def test_a_hot_event_gives_one_place_for_each_time_its_row_is_held_whoever_asks(processes: int) -> None:
    site = Site(processes=processes, cores=16, hot=1.0, round_trip=0.5 * MS, flush=2 * MS)
    place = Kind("rsvp", 0.0, 1 * MS, writes=True, locks=True)

    found = most(site, ((place, 1.0),), seconds=20)

    assert found.rate == pytest.approx(1 / (1 * MS + 0.5 * MS + 2 * MS), rel=0.03)


def test_other_events_do_not_wait_for_a_row() -> None:
    site = Site(processes=4, cores=16, hot=0.0, round_trip=0.5 * MS, flush=2 * MS)
    place = Kind("rsvp", 0.0, 1 * MS, writes=True, locks=True)

    assert most(site, ((place, 1.0),), seconds=2).rate > 10 / (3.5 * MS)


def test_who_has_written_reads_no_stale_row_while_pinned_for_longer_than_the_lag() -> None:
    mix = ((Kind("read", 0.0, 1 * MS), 1.0), (Kind("write", 0.0, 1 * MS, writes=True), 1.0))

    pinned = at_load(Site(replicas=1, lag=0.2, pinned=0.3, viewers=20), 200, mix, seconds=10)
    free = at_load(Site(replicas=1, lag=0.2, pinned=0.0, viewers=20), 200, mix, seconds=10)

    assert pinned.stale == 0
    assert free.stale > 0
    assert free.from_replicas > pinned.from_replicas > 0  # what it costs: the primary answers more


def test_a_replica_takes_reads_from_a_primary_that_is_full() -> None:
    reads = ((Kind("read", 0.0, 1 * MS), 1.0),)
    alone, with_two = (most(Site(processes=4, cores=1, replicas=number), reads) for number in (0, 2))

    assert with_two.rate == pytest.approx(2 * alone.rate, rel=0.1)  # the primary answers none of them


def test_who_finds_no_connection_in_time_is_refused() -> None:
    slow = ((Kind("read", 0.0, 100 * MS), 1.0),)

    found = at_load(Site(pool=1, pool_wait=0.2, cores=8), 50, slow, seconds=10)

    assert found.rate == pytest.approx(10, rel=0.1)
    assert found.refused > 300


def test_a_rush_to_one_event_keeps_readers_waiting_for_its_connections() -> None:
    site = Site(processes=2, pool=4, flush=10 * MS)

    calm, rushed = (rush(site, rsvps, 100, seconds=4) for rsvps in (1, 200))

    assert rushed.quantile(0.5, "list of 20") > 20 * calm.quantile(0.5, "list of 20")


def test_a_seed_gives_the_same_answers_twice() -> None:
    first, second, other = (at_load(Site(), 300, seed=seed).waits for seed in (7, 7, 8))

    assert first == second
    assert first != other


def test_the_model_is_near_the_point_that_was_measured() -> None:
    found = at_the_measured_point()

    assert found.rate == pytest.approx(MEASURED_RATE, rel=0.05)
    assert found.quantile(0.5) == pytest.approx(MEASURED_MEDIAN, rel=0.15)
