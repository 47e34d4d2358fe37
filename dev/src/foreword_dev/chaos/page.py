"""What a chaos run writes into docs/chaos.md."""

from __future__ import annotations

from pathlib import Path

from foreword_dev.chaos.faults import KILLS
from foreword_dev.chaos.report import MOST_LEFTOVERS, Outcome

_BEGIN, _END = "<!-- the report: written by make chaos -->", "<!-- end of the report -->"


def write(path: Path, outcome: Outcome) -> None:
    """Put the report in its place on the page."""
    before, _, rest = path.read_text().partition(_BEGIN)
    path.write_text(f"{before}{_BEGIN}\n{report(outcome)}\n{_END}{rest.partition(_END)[2]}")


def report(outcome: Outcome) -> str:
    """The run in Markdown."""
    faults = outcome.faults
    minutes = (outcome.ended - outcome.began) / 60
    lines = [
        f"## The last full run: seed {outcome.seed}, {faults.kills} kills in {minutes:.1f} minutes",
        f"{'Passed.' if outcome.passed else '**Failed.**'}",
        "",
        "| what was held against what | | |",
        "|---|---:|---|",
        *(f"| {what} | {count} | {verdict} |" for what, count, verdict in _rows(outcome)),
        "",
        "| fault | times |",
        "|---|---:|",
        *(f"| {_title(name)} | {times} |" for name, times in sorted(faults.done.items())),
    ]
    amiss = (
        ("Surprises of the load", outcome.ledger.surprises),
        ("Broken migrations", faults.broken_migrations),
        ("Blank or wrong answers", outcome.wrong),
        ("Questions without an answer", outcome.not_answered),
    )
    for what, found in amiss:
        if found:
            lines += ["", f"{what}:", *(f"- {one}" for one in found[:10])]
    return "\n".join(lines)


def _rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    ledger, verdict, faults = outcome.ledger, outcome.verdict, outcome.faults
    count = max(1, len(ledger.answers))
    seconds = sorted(one.seconds for one in ledger.answers) or [0.0]
    lost = [one for one in verdict.lost if one.startswith("signal")]
    lost_assets = [one for one in verdict.lost if one.startswith("asset")]
    first = sum(one.at_first for one in ledger.answers)
    return [
        (
            "signals acknowledged",
            f"{verdict.acknowledged_signals:,}",
            f"{_told(lost, 'lost')}, {_told(verdict.doubled, 'stored twice')}",
        ),
        ("of them sent again all the same", f"{ledger.duplicates_sent:,}", "counted once"),
        (
            "signals in the log",
            f"{verdict.stored_signals:,}",
            f"{_told(verdict.altered, 'otherwise than sent')}, {_told(verdict.unknown, 'never sent')}; "
            f"{verdict.dated_anew} dated by a clock that was wrong",
        ),
        (
            "assets with an acknowledged write",
            f"{verdict.acknowledged_assets:,}",
            _told(lost_assets, "lost"),
        ),
        (
            "buyers whose profile was replayed",
            f"{verdict.profiles:,}",
            _told(verdict.divergent, "divergent"),
        ),
        (
            "buyers erased, their signals sent again",
            f"{verdict.erased:,}",
            _told(verdict.came_back, "came back"),
        ),
        ("assets asked for in each replica's index", f"{verdict.indexed:,}", _told(verdict.index, "amiss")),
        (
            "migrations killed and run again",
            f"{faults.migrations:,}",
            _told(faults.broken_migrations, "broken"),
        ),
        ("halves of snapshots left behind", f"{outcome.left:,}", f"at most {MOST_LEFTOVERS}"),
        ("recommendations asked for", f"{len(ledger.answers):,}", _told(outcome.wrong, "blank or wrong")),
        (
            "of them answered",
            f"{100 * outcome.answered:.3f}%",
            f"{100 * first / count:.2f}% by the first gateway, the rest by the second when the line broke",
        ),
        (
            "time in which nobody was answered",
            f"{outcome.unanswered_seconds:.2f} s",
            f"answered during {100 * outcome.availability:.3f}% of the time",
        ),
        (
            "answered from memory (`degraded`)",
            f"{100 * sum(one.degraded for one in ledger.answers) / count:.1f}%",
            f"p99 of all answers {seconds[int(0.99 * (len(seconds) - 1))]:.2f} s",
        ),
        (
            "writes put off (429, 503)",
            f"{ledger.refused:,}",
            f"{ledger.unanswered:,} calls without an answer, sent again",
        ),
        ("processes started again", f"{outcome.restarts:,}", ""),
    ]


def _told(found: list[str], what: str) -> str:
    return f"{len(found)} {what}" if not found else f"**{len(found)} {what}**"


def _title(name: str) -> str:
    return f"killed: {name}" if name in KILLS else name
