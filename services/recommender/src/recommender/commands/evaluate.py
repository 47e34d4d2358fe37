"""`foreword evaluate`: replay a log and say how well the ranking would have done, beside plain methods."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click
import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from recommender.commands.evaluation_inputs import encoder_options, log_options, moment_option, read_inputs
from recommender.domain.errors import ConfigurationInvalid
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_reader import load_ranking_config, ranking_config_table
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.numeric.candidates import ExactSearch
from recommender.service.evaluation import OURS, PLAIN, Evaluation, evaluate_log
from recommender.service.evaluation_split import evaluate_split
from recommender.service.ranking_learning import LearningPlan, learn_ranking


@click.command()
@log_options
@click.option("--from", "start", callback=moment_option, help="Start of the window (RFC 3339).")
@click.option("--to", "end", callback=moment_option, help="End of the window; the end of the log by default.")
@click.option(
    "--view",
    type=click.Choice(["all", "back", "random"]),
    default="all",
    show_default=True,
    help="All candidates, the back catalogue (7 days and older), or a random split, 100 negatives.",
)
@click.option("--config", "config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--learn/--no-learn", default=True, help="Learn the blend from what comes before the window first."
)
@click.option(
    "--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here."
)
@click.option(
    "--cases", "cases_out", type=click.Path(dir_okay=False, path_type=Path), help="Each case, NDJSON."
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="A picture, PNG or SVG.")
@click.option("--seed", default=0, show_default=True)
@encoder_options
def evaluate(
    assets: tuple[Path, ...],
    signals: tuple[Path, ...],
    start: float | None,
    end: float | None,
    view: str,
    config_file: Path | None,
    learn: bool,
    out: Path | None,
    cases_out: Path | None,
    plot: Path | None,
    seed: int,
    encoder: str,
    embedder_url: str | None,
    cache: Path | None,
) -> None:
    """Replay a log in time order and report what would have been recommended before each engagement.

    The row `foreword` is the code that serves. Unless --config or --no-learn is given, its blend is first
    learnt from the days before --from, as `foreword learn` would, and used only if it beats the plain
    blend there.
    """
    kinds = load_signal_kinds()
    console = Console(stderr=True)
    log = read_inputs(assets, signals, kinds, encoder, embedder_url, cache)
    config = _config(config_file)
    finish = end if end is not None else float(np.nextafter(log.events.at.max(initial=0.0), np.inf))
    if start is None and view != "random":
        raise click.UsageError("--from is needed: what comes before it is known, what comes after is asked")
    with Progress(
        TextColumn("{task.description}"), TextColumn("{task.completed}"), TimeElapsedColumn(), console=console
    ) as bar:
        tasks: dict[str, object] = {}

        def progress(what: str, done: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], completed=done)  # type: ignore[arg-type]

        began = time.perf_counter()
        if view == "random":
            result = evaluate_split(log, kinds, config, seed=seed, progress=progress)
        else:
            result = _rolling(
                log, kinds, config, start or 0.0, finish, view, learn and config_file is None, seed, progress
            )
    result.facts["seconds"] = round(time.perf_counter() - began, 1)
    result.facts["encoder"] = log.catalogue.model_id
    _table(result, view)
    if out is not None:
        out.write_text(
            json.dumps({"rows": result.rows, "facts": result.facts}, indent=1, default=float) + "\n"
        )
    if cases_out is not None:
        with cases_out.open("wb") as lines:
            for line in result.cases:
                lines.write(orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
    if plot is not None:
        from recommender.commands.evaluation_plot import draw

        draw(result.rows, view, plot)


def _rolling(log, kinds, config, start, end, view, learn, seed, progress) -> Evaluation:  # type: ignore[no-untyped-def]
    configs: dict[str, RankingConfig] = {OURS: config}
    learnt = None
    if learn:
        learnt = learn_ranking(log, kinds, config, LearningPlan(until=start, view=view), progress)
        configs = {OURS: learnt.config, PLAIN: config}
    search = ExactSearch(log.catalogue.vectors)
    try:
        result = evaluate_log(
            log, search, kinds, configs, start=start, end=end, view=view, seed=seed, progress=progress
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    result.facts["config"] = ranking_config_table(configs[OURS])
    if learnt is not None:
        result.facts["learning"] = learnt.report | {"served": learnt.served}
    return result


def _config(path: Path | None) -> RankingConfig:
    try:
        return load_ranking_config(path.read_bytes(), source=str(path)) if path else load_ranking_config()
    except ConfigurationInvalid as error:
        raise click.ClickException(str(error)) from error


def _table(result: Evaluation, view: str) -> None:
    table = Table(title=f"View: {view}, {result.rows[0]['cases']} cases")
    for name in ("method", "Recall@10", "NDCG@10", "MRR", "coverage@10", "cold Recall@10"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for row in sorted(result.rows, key=lambda r: -float(r["ndcg_at_10"])):  # type: ignore[arg-type]
        ci = row["ci"]
        cells = [
            f"{row[f]:.3f} [{ci[f][0]:.3f}, {ci[f][1]:.3f}]" if f in ci else f"{row[f]:.3f}"  # type: ignore[index,operator]
            for f in ("recall_at_10", "ndcg_at_10", "mrr", "coverage_at_10")
            if row.get(f) is not None
        ]
        cold = row.get("groups", {}).get("cold", {}).get("recall_at_10")  # type: ignore[attr-defined]
        table.add_row(str(row["name"]), *cells, "–" if cold is None else f"{cold:.3f}")
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    for figure, ratio in result.facts.get("ratio_to_best_baseline", {}).items():  # type: ignore[attr-defined]
        low, high = ratio["ci"]
        click.echo(
            f"{figure}: {ratio['ratio']:.3f} × the best baseline, {ratio['baseline']} [{low:.3f}, {high:.3f}]"
        )
