"""A short chaos run, and the same with a bug planted on purpose, which the checker must catch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.foreword_process import own_folder
from foreword_dev.chaos.cluster import Cluster, cluster
from foreword_dev.chaos.faults import Planned
from foreword_dev.chaos.run import PLANTED, chaos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
# A plan that goes through what a seed would choose among, in the seconds that a suite has for it.
SHORT = [
    Planned(0.2, "a database process", 1),
    Planned(1.0, "a worker of recommender-1", 1),
    Planned(1.4, "recommender lines cut"),
    Planned(1.6, "gateway-2", 1),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with own_folder() as folder:
        folder.chmod(0o755)
        with cluster(folder, disk_megabytes=None) as started:
            yield started


def _silent(_: str) -> None:
    return


def test_nothing_acknowledged_is_lost_and_no_profile_diverges(running: Cluster) -> None:
    outcome = chaos(running, seed=5, planned=SHORT, seconds=2.5, told=_silent)
    assert outcome.verdict.findings == {name: [] for name in outcome.verdict.findings}
    assert outcome.wrong == []
    assert outcome.verdict.acknowledged_signals > 10
    assert outcome.verdict.profiles > 5
    assert outcome.faults.kills == 3


def test_what_is_acknowledged_before_it_is_committed_is_found_to_be_lost(running: Cluster) -> None:
    for name in ("recommender-1", "recommender-2"):
        running.members[name].module = PLANTED
        running.members[name].kill()
    running.wait_ready()
    planned = [Planned(1.0, "both recommenders", 2)]
    outcome = chaos(running, seed=6, planned=planned, seconds=1.5, told=_silent)
    assert [one for one in outcome.verdict.lost if one.startswith("signal s-6-")]
    assert not outcome.passed
