"""The stage part of the report: what is ahead, what is behind, and what the intervals leave open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recommender.commands.report_stages import FIGURES, stage_section
from recommender.numeric.stage_figures import Judged, judge, resampled

OURS = {"log_loss": 0.1, "calibration_error": 0.02, "average_precision": 0.3}
OURS |= {"recognised": 0.5, "lead_days_mean": 30.0}
THEIRS = {"log_loss": 0.2, "calibration_error": 0.01, "average_precision": 0.2}
THEIRS |= {"recognised": 0.4, "lead_days_mean": 20.0}


def line(name: str, figures: dict[str, float]) -> dict[str, object]:
    spread = {f"{f}_ci": [v * 0.9, v * 1.1] for f, v in figures.items()}
    return {"name": name, "horizon_days": 90.0, "seed": 1, "opens": 0.03} | figures | spread


def test_each_figure_is_ahead_or_behind_and_sure_only_where_the_interval_says_so(tmp_path: Path) -> None:
    differences = {figure: [0.05, 0.15] for figure in FIGURES} | {"recognised": [-0.1, 0.3]}
    ours = line("foreword", OURS) | {"ahead_of": {"points": differences}}
    rows = [line("foreword", OURS), line("points", THEIRS)]
    table = {"rows": rows, "summary": [ours, line("points", THEIRS)], "outcomes_needed": 200}
    notes = tmp_path / "notes.md"
    notes.write_text("what was expected")
    text = "\n".join(stage_section(table, notes))
    against = next(row for row in text.splitlines() if row.startswith("| points | ") and "head" in row)
    cells = [cell.split(":")[0].strip() for cell in against.strip("|").split("|")[1:]]
    assert cells == ["ahead", "behind", "ahead", "ahead, not surely", "ahead"]
    assert "what was expected" in text
    assert "200 outcomes" in text


def judged(seed: int) -> Judged:
    rng = np.random.default_rng(seed)
    days = np.arange(0.0, 300.0, 15.0)
    opened = np.where(rng.random(80) < 0.4, rng.random(80) * 300 + 20, np.inf)
    opens = (opened > days[:, None]) & (opened <= days[:, None] + 90)
    score = np.clip(0.1 + 0.5 * opens + 0.2 * rng.normal(size=opens.shape), 0.01, 0.99)
    return Judged(score, opens, days, opened)


@pytest.mark.slow
def test_resampled_figures_lie_around_the_figure_and_false_alarms_are_held() -> None:
    one = judged(3)
    figures = judge(one, 0.05, claims=True)
    draws = resampled(one, 0.05, 40, 7, claims=True)
    for figure in FIGURES:
        low, high = np.quantile(draws[figure], [0.0, 1.0])
        assert low <= float(str(figures[figure])) <= high
        assert low < high
    assert float(str(figures["false_alarm_rate"])) <= 0.06
    again = resampled(one, 0.05, 40, 7, claims=True)
    np.testing.assert_array_equal(draws["log_loss"], again["log_loss"])
    assert judge(one, 0.05, claims=False)["log_loss"] is None
