"""Pictures of an evaluation; needs matplotlib, which nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def draw(rows: Sequence[dict[str, Any]], view: str, path: Path) -> None:
    """NDCG@10 and Recall@10 of each method with 95% intervals, best at the top."""
    pyplot = _pyplot()
    shown = sorted((r for r in rows if r.get("ndcg_at_10")), key=lambda r: r["ndcg_at_10"])[-14:]
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 0.36 * len(shown) + 1.4), sharey=True)
    for axis, name in zip(axes, ("ndcg_at_10", "recall_at_10"), strict=True):
        for y, row in enumerate(shown):
            low, high = row["ci"][name]
            ours = str(row["name"]).startswith("foreword")
            axis.plot([low, high], [y, y], color="#b5480a" if ours else "#5b6770", linewidth=2)
            axis.plot([row[name]], [y], "o", color="#b5480a" if ours else "#5b6770")
        axis.set_title("NDCG@10" if name.startswith("ndcg") else "Recall@10")
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(shown)), [str(r["name"]) for r in shown])
    figure.suptitle(f"{view}: {shown[-1]['cases'] if shown else 0} cases, 95% intervals by buyer")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


STAGE_FIGURES = {
    "average_precision": "Average precision",
    "recognised": "Recognised",
    "lead_days_mean": "Mean lead, days",
}


def draw_stages(summary: Sequence[dict[str, Any]], folder: Path) -> None:
    """One picture a horizon: what each method sees coming, with 95% intervals by account."""
    pyplot = _pyplot()
    for horizon in sorted({line["horizon_days"] for line in summary}):
        shown = [line for line in summary if line["horizon_days"] == horizon][::-1]
        figure, axes = pyplot.subplots(1, 3, figsize=(11, 0.36 * len(shown) + 1.4), sharey=True)
        for axis, (name, title) in zip(axes, STAGE_FIGURES.items(), strict=True):
            for y, line in enumerate(shown):
                low, high = line[f"{name}_ci"]
                colour = "#b5480a" if line["name"] == "foreword" else "#5b6770"
                axis.plot([low, high], [y, y], color=colour, linewidth=2)
                axis.plot([line[name]], [y], "o", color=colour)
            axis.set_title(title)
            axis.grid(axis="x", alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set_yticks(range(len(shown)), [str(line["name"]) for line in shown])
        figure.suptitle(
            f"An opportunity within {horizon:.0f} days, false alarms at 5%; 95% intervals by account"
        )
        figure.tight_layout()
        figure.savefig(folder / f"stages-{horizon:.0f}d.png", dpi=110)
        pyplot.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise click.ClickException(
            "plots need matplotlib: pip install 'foreword-recommender[plots]'"
        ) from error
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot
