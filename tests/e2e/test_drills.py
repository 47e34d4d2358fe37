"""A shorter `make drill`: parts are taken away under load, and the callers' promises hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.foreword_process import own_folder
from foreword_dev.drill import DRILLS, MOST_RECOVERY_SECONDS, fill, rehearse, settings_in, table
from foreword_dev.drill_parts import Rehearsed, rehearsed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SHORT = ("recommender", "database", "gateway-restarted", "deleted")


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsed]:
    with own_folder() as folder:
        settings, second = settings_in(folder / "data")
        with rehearsed(settings, second, {"FOREWORD_EMBEDDER_MODEL": "hashing-384"}) as stack:
            fill(stack)
            yield stack


@pytest.mark.parametrize("name", SHORT)
def test_callers_see_no_blank_and_no_wrong_answer(rehearsal: Rehearsed, name: str) -> None:
    drill = next(drill for drill in DRILLS if drill.name == name)
    outcome = rehearse(rehearsal, drill, seconds=2.0)
    print(table([outcome]))
    wrong = [one for one in outcome.seen if one.verdict in ("wrong", "blank")]
    assert wrong == []
    assert outcome.lost == 0
    assert outcome.acknowledged > 0
    assert outcome.recovery_seconds <= MOST_RECOVERY_SECONDS
    assert outcome.count("degraded") > 0
    assert outcome.count("refused", "signal") > 0
