"""How many requests at once a service takes on: it finds what keeps them quick by itself."""

from __future__ import annotations

import random
from collections.abc import Callable

from servicekit.concurrency_limit import ConcurrencyLimit

SLOW = 0.25
Seconds = Callable[[int, random.Random], float]


def _shared_processor(seconds_each: float) -> Seconds:
    """Each of n requests at once takes about n times as long."""
    return lambda n, rng: n * seconds_each * rng.uniform(0.5, 1.5)


def _run(seconds: Seconds, requests: int = 20_000, asked: int = 100) -> tuple[ConcurrencyLimit, float]:
    """Callers who would have `asked` under way at once. → (limit, share of the second half above SLOW)"""
    limit, rng = ConcurrencyLimit(16, SLOW), random.Random(1)
    slow = []
    for _ in range(requests):
        under_way = min(limit.now, asked)
        took = seconds(under_way, rng)
        slow.append(took > SLOW)
        limit.took(took, under_way)
    half = slow[requests // 2 :]
    return limit, sum(half) / len(half)


def test_it_rests_where_few_are_slow() -> None:
    limit, slow = _run(_shared_processor(0.025))
    assert 5 <= limit.now <= 8
    assert 0.01 <= slow <= 0.05


def test_a_rush_is_met_within_seconds() -> None:
    limit, _ = _run(_shared_processor(0.025), requests=500)
    assert limit.now <= 9


def test_a_quick_service_uses_all_its_threads() -> None:
    limit, slow = _run(_shared_processor(0.005))
    assert (limit.now, limit.is_lowered, slow) == (16, False, 0.0)


def test_a_machine_on_which_even_few_are_slow_keeps_a_quarter_of_them() -> None:
    assert _run(_shared_processor(0.1))[0].now == 4


def test_a_slow_database_on_which_all_wait_alike_takes_no_threads_away() -> None:
    asked = iter(range(100_000))

    def slow_from_the_hundredth(n: int, rng: random.Random) -> float:
        return rng.uniform(0.01, 0.03) if next(asked) < 100 else rng.uniform(0.5, 0.7)

    limit, _ = _run(slow_from_the_hundredth, 600)
    assert limit.now == 16, "after some hundred answers that seemed slow it knows better"


def test_a_rush_after_a_slow_database_is_still_met() -> None:
    limit, rng = ConcurrencyLimit(16, SLOW), random.Random(1)
    for _ in range(200):
        limit.took(rng.uniform(0.5, 0.7), limit.now)
    for _ in range(3_000):
        limit.took(_shared_processor(0.025)(limit.now, rng), limit.now)
    assert limit.now <= 9


def test_slow_pages_that_nobody_stands_in_the_way_of_say_nothing() -> None:
    limit, _ = _run(lambda n, rng: rng.choice((0.01, 2.0)), asked=2)
    assert limit.now == 16


def test_it_comes_back_when_the_rush_is_over() -> None:
    limit, _ = _run(_shared_processor(0.025))
    for _ in range(140):
        limit.took(0.02, 1)
    assert limit.now == 16


def test_measuring_ends_where_there_are_never_few() -> None:
    """Keys that hold less than their share come in above the limit."""
    limit = ConcurrencyLimit(16, SLOW)
    for _ in range(1_001):
        limit.took(0.4, 12)
    assert limit.now == 2
    for _ in range(24):
        limit.took(0.4, 12)
    assert limit.now == 4
