"""While many sign in, others go on reading; and when too many do, they are told so at once."""

import asyncio
import time
from collections.abc import Callable
from statistics import median

import httpx
import pytest

from tests.conftest import Server
from tests.people import Answer, Person

FLOOD = 50
FROM_ONE_ADDRESS = {"ADDRESS_GUESSES_PER_HOUR": "1000", "ACCOUNT_GUESSES_PER_HOUR": "1000"}
# Seen: 1 to 3 on a quiet machine of two cores. Hashing on the event loop, a read waits for a hash or more: 60 ms at
# cost 10 against 2 or 3, and every read of the flood behind all of it.
MOST = 12


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_reads_go_on_while_many_sign_in(
    make_server: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server = make_server(BCRYPT_COST="10", BCRYPT_QUEUE=str(FLOOD), **FROM_ONE_ADDRESS)
    await server.start()
    limits = httpx.Limits(max_connections=FLOOD)
    async with (
        httpx.AsyncClient(base_url=server.url) as reading,
        httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30) as signing_in,
    ):
        ana = Person(signing_in, "ana")
        await ana.signs_up()
        reader = Person(reading)
        await latencies(reader, lambda taken: len(taken) < 20)  # connects, and fills the caches

        idle = await latencies(reader, lambda taken: len(taken) < 60)
        flood = [asyncio.ensure_future(ana.signs_in()) for _ in range(FLOOD)]
        during = await latencies(reader, lambda _: not all(one.done() for one in flood))
        answers = await asyncio.gather(*flood)

    assert [answer.code for answer in answers] == [None] * FLOOD
    ratio = median(during) / median(idle)
    with capsys.disabled():
        print(  # noqa: T201 - a figure for who runs the tests
            f"\nA read took {median(idle) * 1000:.1f} ms idle, {median(during) * 1000:.1f} ms while {FLOOD} signed in:"
            f" {ratio:.1f} times as long (medians of {len(idle)} and {len(during)})."
        )
    assert ratio < MOST
    assert len(during) > FLOOD  # there were reads to measure, not one that waited for the end


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_too_many_at_once_are_told_when_to_come_back(make_server: Callable[..., Server]) -> None:
    server = make_server(BCRYPT_COST="10", BCRYPT_QUEUE="2", **FROM_ONE_ADDRESS)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        ana = Person(http, "ana")
        await ana.signs_up()
        answers: list[Answer] = await asyncio.gather(*(ana.signs_in() for _ in range(FLOOD)))
        afterwards = await ana.signs_in()

    refused = [answer for answer in answers if answer.code]
    assert 0 < len(refused) < FLOOD
    for answer in refused:
        assert answer.code == "UNAVAILABLE"
        assert 1 <= answer.errors[0]["extensions"]["retryAfter"] <= 5
    assert afterwards.code is None


async def latencies(reader: Person, go_on: Callable[[list[float]], bool]) -> list[float]:
    """Seconds that a read of the public list takes, one after another."""
    taken: list[float] = []
    while go_on(taken):
        begun = time.perf_counter()
        assert (await reader.asks("{ events { nodes { id title } } }")).code is None
        taken.append(time.perf_counter() - begun)
    return taken
