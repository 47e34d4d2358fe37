"""A short chaos run, and the same with a bug planted on purpose, which the checker must catch."""

from __future__ import annotations

import pytest

from e2e.foreword_process import own_folder
from foreword_dev.chaos.cluster import cluster
from foreword_dev.chaos.faults import Planned
from foreword_dev.chaos.run import PLANTED, chaos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _quiet(_: str) -> None:
    return


def test_nothing_acknowledged_is_lost_and_no_profile_diverges() -> None:
    planned = [
        Planned(0.2, "a database process", 1),
        Planned(1.0, "a worker of recommender-1", 1),
        Planned(1.2, "recommender lines cut"),
        Planned(1.6, "gateway-2", 1),
    ]
    with own_folder() as folder:
        folder.chmod(0o755)
        with cluster(folder) as running:
            outcome = chaos(running, seed=5, planned=planned, seconds=3.0, told=_quiet)
    assert outcome.verdict.findings == {name: [] for name in outcome.verdict.findings}
    assert outcome.wrong == []
    assert outcome.verdict.acknowledged_signals > 20
    assert outcome.verdict.profiles > 5
    assert outcome.faults.kills == 3


def test_what_is_acknowledged_before_it_is_committed_is_found_to_be_lost() -> None:
    planned = [Planned(1.0, "both recommenders", 2)]
    with own_folder() as folder:
        folder.chmod(0o755)
        with cluster(folder, recommender_module=PLANTED, disk_megabytes=None) as running:
            outcome = chaos(running, seed=5, planned=planned, seconds=2.0, told=_quiet)
    assert [one for one in outcome.verdict.lost if one.startswith("signal")]
    assert not outcome.passed
