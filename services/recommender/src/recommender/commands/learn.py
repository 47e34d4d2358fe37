"""`foreword learn`: fit the blend to a firm's own log and write a ranking configuration."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from recommender.commands.evaluation_inputs import encoder_options, log_options, moment_option, read_inputs
from recommender.domain.ranking_config import load_ranking_config, ranking_config_table
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.service.ranking_learning import LearningPlan, learn_ranking


@click.command()
@log_options
@click.option(
    "--until", callback=moment_option, help="Learn from what comes before; the whole log by default."
)
@click.option("--view", type=click.Choice(["all", "back"]), default="all", show_default=True)
@click.option("--days", default=60.0, show_default=True, help="How far back to learn from.")
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@encoder_options
def learn(
    assets: tuple[Path, ...],
    signals: tuple[Path, ...],
    until: float | None,
    view: str,
    days: float,
    out: Path,
    encoder: str,
    embedder_url: str | None,
    cache: Path | None,
) -> None:
    """Fit the blend of score terms to a log, check it on the latest quarter, and write the better one.

    The file is a ranking configuration: point FOREWORD_RANKING_FILE at it, or give it to `foreword evaluate`.
    """
    kinds = load_signal_kinds()
    log = read_inputs(assets, signals, kinds, encoder, embedder_url, cache)
    end = until if until is not None else float(np.nextafter(log.events.at.max(), np.inf))
    learnt = learn_ranking(log, kinds, load_ranking_config(), LearningPlan(until=end, view=view, days=days))
    table = ranking_config_table(learnt.config) | {"notes": learnt.report}
    out.write_text(json.dumps(table, indent=1) + "\n")
    if not learnt.served:
        click.echo(f"The plain blend stays ({learnt.report['why']}). Written to {out}.")
        return
    cases, after, before = (learnt.report[k] for k in ("cases", "learnt_ndcg_at_10", "plain_ndcg_at_10"))
    click.echo(f"Learnt from {cases} engagements. On the latest of them NDCG@10 is {after:.3f},")
    click.echo(f"that of the plain blend {before:.3f}. Written to {out}.")
