"""Folding waits for an import to end, and not for ever."""

from __future__ import annotations

from recommender.service.folding_pace import FoldingPace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_single_signals_are_folded_at_once() -> None:
    pace = FoldingPace(Clock())
    pace.recorded(1)
    assert pace.may_fold()


def test_an_import_is_waited_for_and_its_end_noticed() -> None:
    clock = Clock()
    pace = FoldingPace(clock)
    for _ in range(20):
        pace.recorded(4_000)
        clock.now += 0.5
        assert not pace.may_fold()
    clock.now += 0.6
    assert pace.may_fold()


def test_a_long_import_is_interrupted_once_a_minute() -> None:
    clock = Clock()
    pace = FoldingPace(clock)
    allowed = 0
    for _ in range(600):
        pace.recorded(4_000)
        clock.now += 0.5
        allowed += pace.may_fold()
    assert 4 <= allowed <= 5
