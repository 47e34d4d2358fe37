"""The part of docs/quality.md that speaks of buying stages, from the figures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Table = dict[str, Any]
FIGURES = {
    "log_loss": ("log-loss", 3, -1),
    "calibration_error": ("calibration error", 3, -1),
    "average_precision": ("average precision", 3, 1),
    "recognised": ("recognised", 3, 1),
    "lead_days_mean": ("mean lead, days", 1, 1),
}
"""Title, digits, and whether more is better."""


def stage_section(table: Table, notes: Path) -> list[str]:
    """Paragraphs in Markdown. `notes`, the hand-written predictions and results, is taken in whole."""
    rows, summary = table["rows"], table["summary"]
    seeds = sorted({row["seed"] for row in rows})
    horizons = sorted({line["horizon_days"] for line in summary})
    opens = rows[0]["opens"] if rows else 0.0
    parts = [
        "## Buying stages, on simulated markets",
        f"Markets {', '.join(map(str, seeds))}; means over them, with 95% intervals by bootstrap over "
        "accounts. The generator (`foreword simulate`) shares no code or constants with the stage model. "
        "Every second account is for fitting, the others are judged. At snapshots 15 days apart: will an "
        f"opportunity open within the horizon? ({opens:.1%} of the first market's snapshots at the shorter "
        "one.) Recognised: the share of opportunities with an alarm standing when they opened; mean lead: "
        "days from the first alarm of that run to the opening, 0 where there was none. False alarms are held "
        "at 5% of the snapshots of accounts that never open. Everything fitted is fitted on the same "
        "accounts, each with its own penalty by cross-validation; the calibration asks for "
        f"{table['outcomes_needed']} outcomes there, as in service. Two baselines are fitted points: counts "
        "with a 30-day decay, as they are and as square roots, which is how the calibration reads them. "
        "`raw C + D` is what alarms are ranked by before there are outcomes, `the estimate alone fitted` a "
        "calibration that reads nothing but the estimate.",
    ]
    for horizon in horizons:
        own = [line for line in summary if line["horizon_days"] == horizon]
        parts += [f"### Within {horizon:.0f} days", _table(own), _ahead(own)]
        parts.append(
            f"![Figures with intervals within {horizon:.0f} days](quality/stages-{horizon:.0f}d.png)"
        )
    parts += ["### Market by market", _by_market(rows)]
    if notes.exists():
        parts.append(notes.read_text(encoding="utf-8").strip())
    return parts


def _table(lines: list[Table]) -> str:
    head = " | ".join(title for title, *_ in FIGURES.values())
    out = [f"| method | {head} |", "|---" * (len(FIGURES) + 1) + "|"]
    for line in lines:
        name = "**foreword**" if line["name"] == "foreword" else line["name"]
        out.append(f"| {name} | " + " | ".join(_cell(line, figure) for figure in FIGURES) + " |")
    return "\n".join(out)


def _cell(line: Table, figure: str) -> str:
    if figure not in line:
        return "–"
    digits = FIGURES[figure][1]
    low, high = line[f"{figure}_ci"]
    return f"{line[figure]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _ahead(lines: list[Table]) -> str:
    """Whether ours is ahead of each baseline, and by how much at the least, at equal false alarms."""
    ours = next(line for line in lines if line["name"] == "foreword")
    out = ["| ours against | " + " | ".join(title for title, *_ in FIGURES.values()) + " |"]
    out.append("|---" * (len(FIGURES) + 1) + "|")
    for other, differences in ours.get("ahead_of", {}).items():
        theirs = next(line for line in lines if line["name"] == other)
        cells = []
        for figure, (_, digits, sign) in FIGURES.items():
            if figure not in differences or figure not in ours or figure not in theirs:
                cells.append("–")
                continue
            low, high = differences[figure]
            ahead = sign * (ours[figure] - theirs[figure]) > 0
            sure = low > 0 or high < 0
            word = ("ahead" if ahead else "behind") + ("" if sure else ", not surely")
            cells.append(
                f"{word}: {ours[figure] - theirs[figure]:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
            )
        out.append(f"| {other} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def _by_market(rows: list[Table]) -> str:
    out = ["| horizon | method | " + " | ".join(t for t, *_ in FIGURES.values()) + " |"]
    out.append("|---" * (len(FIGURES) + 2) + "|")
    for horizon, name in dict.fromkeys((row["horizon_days"], row["name"]) for row in rows):
        own = [row for row in rows if row["name"] == name and row["horizon_days"] == horizon]
        cells = [
            ", ".join("–" if row[f] is None else f"{row[f]:.{digits}f}" for row in own)
            for f, (_, digits, _) in FIGURES.items()
        ]
        out.append(f"| {horizon:.0f} d | {name} | " + " | ".join(cells) + " |")
    return "\n".join(out)
