import time

import pytest

from models.tags import MOST, fit_tags
from models.text import Unfit


def test_repeats_do_not_count() -> None:
    assert fit_tags([f" Tag{n % MOST} " for n in range(10 * MOST)]) == [f"Tag{n}" for n in range(MOST)]


def test_a_flood_of_tags_is_refused_before_it_is_looked_at() -> None:
    begun = time.perf_counter()

    with pytest.raises(Unfit, match="there are 50000; at most 20"):
        fit_tags(["e\u0301" * 25] * 50_000)

    assert time.perf_counter() - begun < 0.1
