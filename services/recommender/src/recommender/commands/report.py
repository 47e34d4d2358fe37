"""`foreword report` (and `python -m recommender.commands.report`): run every evaluation and write
docs/quality.md.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from recommender.commands.evaluate import evaluate
from recommender.commands.evaluation_plot import draw, draw_stages
from recommender.commands.report_stages import stage_section
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.domain.stage_config import load_stage_model
from recommender.service.evaluation_stages import evaluate_stages

CHOSEN_BEFORE = "2016-08-05T17:00:13Z"
WINDOW_END = "2016-09-06T12:51:26Z"
VIEWS = {
    "all": (
        "All candidates",
        "Everything published and not yet engaged with; readers of this log were shown the newest.",
    ),
    "back": (
        "Back catalogue",
        "Assets at least 7 days old, the evergreen stock of a content team; few cases, wide intervals.",
    ),
    "random": (
        "Random split, 100 sampled negatives",
        "A fifth of each buyer's engagements hidden at random; no term that speaks of time takes part.",
    ),
}
Table = dict[str, Any]


@click.command()
@click.option(
    "--log",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("../shared/data/deskdrop"),
    show_default=True,
    help="The shared log: assets.ndjson.gz and signals.ndjson.gz.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("docs/quality.md"))
@click.option("--figures", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/quality"))
@click.option("--seeds", default="1,2,3", show_default=True, help="Of the simulated markets.")
@click.option(
    "--part",
    type=click.Choice(["all", "ranking", "stages"]),
    default="all",
    show_default=True,
    help="What to run; of the other part the figures that a former run left in --figures are told again.",
)
@click.option("--keep", is_flag=True, help="Run only what a former run left no figures of in --figures.")
@click.pass_context
def report(
    context: click.Context, folder: Path, out: Path, figures: Path, seeds: str, part: str, keep: bool
) -> None:
    """Evaluate the ranking on the shared log in three views and the stages on simulated markets."""
    try:
        markets = [int(seed) for seed in seeds.split(",")]
    except ValueError as error:
        raise click.BadParameter(
            "numbers with commas between, such as 1,2,3", param_hint="--seeds"
        ) from error
    figures.mkdir(parents=True, exist_ok=True)
    steps = _Steps(len(VIEWS) + 1)
    ranked: dict[str, Table] = {}
    fresh = True
    has_log = (folder / "signals.ndjson.gz").exists()
    if not has_log:
        click.echo(f"There is no log in {folder}: the ranking is not evaluated.", err=True)
    for view in VIEWS:
        target = figures / f"ranking-{view}.json"
        if has_log and part != "stages" and not (keep and target.exists()):
            steps.begin(f"ranking, view {view!r}")
            context.invoke(
                evaluate,
                assets=(folder / "assets.ndjson.gz",),
                signals=(folder / "signals.ndjson.gz",),
                start=None if view == "random" else _seconds(CHOSEN_BEFORE),
                end=_seconds(WINDOW_END),
                view=view,
                out=target,
            )
        else:
            steps.begin(f"ranking, view {view!r}: figures of a former run")
            fresh = False
        if target.exists() and (has_log or part == "stages"):
            ranked[view] = json.loads(target.read_text())
            draw(ranked[view]["rows"], view, figures / f"ranking-{view}.png")
    stages_file = figures / "stages.json"
    if part == "ranking" or (keep and stages_file.exists()):
        steps.begin("stages: figures of a former run")
        fresh = False
    else:
        steps.begin(f"stages, markets {seeds}")
        found = evaluate_stages(load_stage_model(), load_signal_kinds(), markets, said=steps.say)
        stages_file.write_text(json.dumps(found, indent=1) + "\n")
    stages = json.loads(stages_file.read_text()) if stages_file.exists() else None
    if stages is not None and "summary" not in stages:
        click.echo(f"{stages_file} is of an older version and left out: run --part stages.", err=True)
        stages = None
    if stages is not None:
        draw_stages(stages["summary"], figures)
    out.write_text(_document(ranked, stages, figures, fresh=fresh))
    click.echo(f"Written to {out}")


class _Steps:
    """Says on standard error what is being done, of how much, and since when."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0
        self._since = time.monotonic()

    def begin(self, what: str) -> None:
        self._done += 1
        self.say(f"{self._done} of {self._count}: {what}")

    def say(self, what: str) -> None:
        click.echo(f"[{time.monotonic() - self._since:6.0f} s] {what}", err=True)


def _seconds(moment: str) -> float:
    from recommender.service.evaluation_data import moment as read

    at = read(moment)
    assert at is not None
    return at


def _document(ranked: dict[str, Table], stages: Table | None, figures: Path, *, fresh: bool) -> str:
    origin = (
        "Written by `make eval`; every figure below comes from that run."
        if fresh
        else "Put together by `foreword report` from figures of more than one run."
    )
    parts = [
        "# How good the recommendations and the stage estimates are",
        f"{origin} Intervals are 95%, by "
        "bootstrap over buyers. The ranking's constants and its blend were chosen and learnt on what comes "
        f"before {CHOSEN_BEFORE}; the days after it, to {WINDOW_END}, are only reported on.",
        "## Ranking on a firm's log, rolling in time",
        "Before each first engagement with an asset the ranking is asked for ten assets, knowing "
        "everything earlier and nothing later. The row `foreword` is what would have been "
        "served (candidates, score, rerank; "
        "exploration off) with the blend that `foreword learn` fits to the days before; `every asset scored` "
        "leaves candidate generation and reranking out; `plain blend` is the packaged configuration.",
    ]
    if not ranked:
        parts.append("_The log was not at hand in this run._")
    else:
        parts += [
            _goals(ranked),
            "To be read with it: the random split uses every day of the log, and terms of before (`taste`, "
            "`interest_unproven`) took their present form after earlier figures of that view (.562, .570) "
            "had been seen, as did the price that a blend may pay for cold assets. The rolling views had by "
            "then been run on all candidates (1.225, 1.262 and 1.263 × the best baseline) and on the back "
            "catalogue (1.312 and 1.317 ×). The terms `linked`, `linked_text`, `words` and `promise` were "
            "chosen on the days before 2016-08-05 alone.",
        ]
    for view, table in ranked.items():
        parts += _view(view, table)
    changes = figures / "ranking-changes.md"
    if changes.exists():
        parts.append(changes.read_text().strip())
    fit = figures / "stage-fit.md"
    if fit.exists():  # read by hand in a running Foreword, which this command has none of
        parts.append(fit.read_text().strip())
    if stages is not None:
        parts += stage_section(stages, figures / "stage-changes.md")
    return "\n\n".join(parts) + "\n"


def _view(view: str, table: Table) -> list[str]:
    title, word = VIEWS[view]
    facts = table["facts"]
    lines = ["| method | Recall@10 | NDCG@10 | MRR | coverage@10 | cold hits |", "|---|---|---|---|---|---|"]
    for row in sorted(table["rows"], key=lambda r: -r["ndcg_at_10"]):
        cells = [
            f"{row[f]:.3f} [{row['ci'][f][0]:.3f}, {row['ci'][f][1]:.3f}]"
            for f in ("recall_at_10", "ndcg_at_10")
        ]
        cold = row["groups"]["cold"]
        name = f"**{row['name']}**" if row["name"] == "foreword" else row["name"]
        lines.append(
            f"| {name} | {cells[0]} | {cells[1]} | {row['mrr']:.3f} | {row['coverage_at_10']:.3f} "
            f"| {cold['hits']} of {cold['cases']} |"
        )
    ratios = [
        f"{_figure(f)} {r['ratio']:.3f} × the best baseline, {r['baseline']} "
        f"[{r['ci'][0]:.3f}, {r['ci'][1]:.3f}]"
        for f, r in facts["ratio_to_best_baseline"].items()
    ]
    parts = [
        f"### {title}",
        f"{word} {facts['cases']} cases of {facts['buyers']} buyers. " + "; ".join(ratios) + ".",
    ]
    parts += ["\n".join(lines), f"![NDCG@10 and Recall@10 by method](quality/ranking-{view}.png)"]
    if "recall_at_10_by_split" in facts:
        by_split = ", ".join(
            f"{name} {', '.join(f'{recall:.3f}' for recall in recalls)}"
            for name, recalls in facts["recall_at_10_by_split"].items()
            if name in ("foreword", "EASE")
        )
        parts.append(f"Recall@10 by draw of what is hidden: {by_split}.")
    if "kept_of_top_10_by_candidate_generation" in facts:
        kept = facts["kept_of_top_10_by_candidate_generation"]
        parts.append(
            f"Candidate generation and reranking keep {kept:.1%} of the ten that scoring every asset "
            f"would put first. {facts['cold_share']:.1%} of the cases ask for an asset that fewer than 3 "
            f"buyers had engaged with. {facts['signals_of_missing_assets']} signals name an asset that is "
            f"not in the list, {facts['signals_before_publication']} one published later."
        )
        ours = next(r for r in table["rows"] if r["name"] == "foreword")
        groups = [
            f"{n} {g['recall_at_10']:.3f} ({g['cases']})" for n, g in ours["groups"].items() if g["cases"]
        ]
        parts.append("Recall@10 by group (cases): " + ", ".join(groups) + ".")
    return parts


GOALS = (
    ("all", "ndcg_at_10", 1.08),
    ("back", "ndcg_at_10", 1.30),
    ("back", "recall_at_10", 1.25),
)
RANDOM_GOAL = 0.62


def _goals(ranked: dict[str, Table]) -> str:
    lines = ["| goal | measured | met |", "|---|---|---|"]
    for view, figure, least in GOALS:
        if view in ranked:
            ratio = ranked[view]["facts"]["ratio_to_best_baseline"][figure]["ratio"]
            met = "yes" if ratio >= least else "no"
            lines.append(
                f"| {view}: {_figure(figure)} {least:.2f} × the best baseline | {ratio:.3f} × | {met} |"
            )
    for view, table in ranked.items():
        rows = {row["name"]: row for row in table["rows"]}
        if view == "random":
            recall = rows["foreword"]["recall_at_10"]
            met = "yes" if recall >= RANDOM_GOAL else "no"
            lines.append(f"| random split: Recall@10 {RANDOM_GOAL} | {recall:.3f} | {met} |")
        ours = rows["foreword"]["groups"]["cold"]["hits"]
        text = max(rows[n]["groups"]["cold"]["hits"] for n in ("TF-IDF profile", "MiniLM profile"))
        met = "yes" if ours >= text else "no"
        lines.append(f"| {view}: at least the text baselines' {text} hits on cold assets | {ours} | {met} |")
    return "\n".join(lines)


def _figure(name: str) -> str:
    return {"ndcg_at_10": "NDCG@10", "recall_at_10": "Recall@10", "mrr": "MRR"}[name]


if __name__ == "__main__":
    report()
