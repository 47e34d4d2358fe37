"""What a chaos run came to, and whether that is good enough."""

from __future__ import annotations

from dataclasses import dataclass

from foreword_dev.chaos.checker import Verdict
from foreword_dev.chaos.cluster import Cluster
from foreword_dev.chaos.faults import Faults, leftovers
from foreword_dev.chaos.ledger import Ledger

MOST_LEFTOVERS = 4
AVAILABILITY = 0.999


@dataclass(slots=True)
class Outcome:
    """`began` and `ended` (monotonic) bound the faults; what callers saw in between counts."""

    seed: int
    began: float
    ended: float
    ledger: Ledger
    faults: Faults
    verdict: Verdict
    restarts: int
    cluster: Cluster
    left: int = 0

    def __post_init__(self) -> None:
        self.left = len(leftovers(self.cluster.snapshots))

    @property
    def answered(self) -> float:
        answers = self.ledger.answers
        return sum(one.answered for one in answers) / max(1, len(answers))

    @property
    def unanswered_seconds(self) -> float:
        """Time in which nobody was answered: between two answers, where a question failed between them."""
        answers = sorted(self.ledger.answers, key=lambda one: one.began + one.seconds)
        total, last = 0.0, self.began
        failed = False
        for one in answers:
            if one.answered:
                if failed:
                    total += one.began + one.seconds - last
                last, failed = one.began + one.seconds, False
            else:
                failed = True
        return total

    @property
    def availability(self) -> float:
        """The part of the time in which recommendations were answered."""
        return 1.0 - self.unanswered_seconds / max(0.001, self.ended - self.began)

    @property
    def wrong(self) -> list[str]:
        return [f"{one.began - self.began:.1f} s: {one.wrong}" for one in self.ledger.answers if one.wrong]

    @property
    def not_answered(self) -> list[str]:
        return [
            f"{one.began - self.began:.1f} s: none within {one.seconds:.1f} s"
            for one in self.ledger.answers
            if not one.answered and not one.wrong
        ]

    @property
    def passed(self) -> bool:
        return (
            self.verdict.clean
            and self.availability >= AVAILABILITY
            and not self.wrong
            and not self.ledger.surprises
            and not self.faults.broken_migrations
            and self.left <= MOST_LEFTOVERS
        )
