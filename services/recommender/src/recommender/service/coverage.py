"""Coverage: what the catalogue has for each stage, persona and topic, and where it has nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from recommender.domain.catalogue import STAGES
from recommender.service.clock import Clock
from recommender.service.replica import CatalogueReplica


class CoverageService:
    def __init__(self, replica: CatalogueReplica, clock: Clock) -> None:
        self._replica = replica
        self._clock = clock

    def coverage(self) -> dict[str, Any]:
        """Eligible assets by stage × persona and stage × topic; each counts where it is likeliest."""
        catalogue = self._replica.snapshot.catalogue
        eligible = catalogue.eligible(self._clock().timestamp())
        leading = catalogue.stage.argmax(axis=1)
        cells = []
        for field in ("personas", "topics"):
            for value, rows in sorted(catalogue.tag_rows.get(field, {}).items()):
                living = rows[eligible[rows]]
                counts = np.bincount(leading[living], minlength=len(STAGES))
                cells += [
                    {"by": field.removesuffix("s"), "value": value, "stage": stage, "assets": int(count)}
                    for stage, count in zip(STAGES, counts, strict=True)
                ]
        totals = np.bincount(leading[eligible], minlength=len(STAGES))
        return {
            "assets": int(eligible.sum()),
            "by_stage": {stage: int(n) for stage, n in zip(STAGES, totals, strict=True)},
            "cells": cells,
            "gaps": [cell for cell in cells if cell["assets"] == 0],
        }
