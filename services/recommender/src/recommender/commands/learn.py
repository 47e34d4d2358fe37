"""`foreword learn`: fit the blend to a firm's own log and write a ranking configuration."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click
import numpy as np

from recommender.commands.database import opened
from recommender.commands.evaluation_inputs import encoder_options, log_options, moment_option, read_inputs
from recommender.domain.errors import ConfigurationInvalid
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_reader import load_ranking_config, ranking_config_table
from recommender.domain.signal_kinds import SignalKinds, load_signal_kinds
from recommender.domain.stage_config import load_stage_model
from recommender.service.clock import system_clock
from recommender.service.evaluation_data import Log
from recommender.service.meters import CatalogueMeters
from recommender.service.ranking_choice import choose_ranking
from recommender.service.ranking_learning import LearningPlan, learn_ranking
from recommender.service.stored_log import read_stored_log
from servicekit.metrics import Metrics

_MEMORY_SECONDS = 548 * 86_400.0


@click.command()
@partial(log_options, required=False)
@click.option("--database-url", envvar="DATABASE_URL", help="Read the log from here when no files are given.")
@click.option(
    "--until", callback=moment_option, help="Learn from what comes before; the whole log by default."
)
@click.option("--view", type=click.Choice(["all", "back"]), default="all", show_default=True)
@click.option("--days", default=60.0, show_default=True, help="How far back to learn from.")
@click.option(
    "--choose/--no-choose",
    default=False,
    show_default=True,
    help="First try other constants (half-lives, attention) and plain weights; takes many times as long.",
)
@click.option("--config", "config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@encoder_options
def learn(
    assets: tuple[Path, ...],
    signals: tuple[Path, ...],
    database_url: str | None,
    until: float | None,
    view: str,
    days: float,
    choose: bool,
    config_file: Path | None,
    out: Path,
    encoder: str,
    embedder_url: str | None,
    cache: Path | None,
) -> None:
    """Fit the blend of score terms to a log, check it on the latest quarter, and write the better one.

    The log is the firm's own, read from its database, or files as they were imported. What is written is a
    ranking configuration: point FOREWORD_RANKING_FILE at it, or give it to `foreword evaluate`. It holds the
    plain blend where too little is known or nothing learnt did better.
    """
    kinds = load_signal_kinds()
    if bool(assets) != bool(signals):
        raise click.UsageError("--assets and --signals go together")
    if assets:
        log = read_inputs(assets, signals, kinds, encoder, embedder_url, cache)
    elif database_url is not None:
        log = _from_database(database_url, kinds)
    else:
        raise click.UsageError("give --assets and --signals, or --database-url")
    if not len(log.events) or not len(log.catalogue):
        raise click.ClickException("there is no asset or no signal about one to learn from")
    plain = _config(config_file)
    end = until if until is not None else float(np.nextafter(log.events.at.max(), np.inf))
    notes: dict[str, object] = {}
    if choose:
        chosen = choose_ranking(log, kinds, plain, until=end, days=days)
        plain = chosen.config
        notes["choice"] = chosen.tried
    learnt = learn_ranking(log, kinds, plain, LearningPlan(until=end, view=view, days=days))
    table = ranking_config_table(learnt.config) | {"notes": learnt.report | notes}
    out.write_text(json.dumps(table, indent=1) + "\n")
    if not learnt.served:
        click.echo(f"The plain blend stays ({learnt.report['why']}). Written to {out}.")
        return
    cases, after, before = (learnt.report[k] for k in ("cases", "learnt_ndcg_at_10", "plain_ndcg_at_10"))
    click.echo(f"Learnt from {cases} engagements. On the latest of them NDCG@10 is {after:.3f},")
    click.echo(f"that of the plain blend {before:.3f}. Written to {out}.")


def _from_database(url: str, kinds: SignalKinds) -> Log:
    meters = CatalogueMeters(Metrics.create("learn", "command"))
    since = system_clock().timestamp() - _MEMORY_SECONDS
    with opened(url, "learn") as engine:
        return read_stored_log(engine, kinds, load_stage_model(), meters, since)


def _config(path: Path | None) -> RankingConfig:
    try:
        return load_ranking_config(path.read_bytes(), source=str(path)) if path else load_ranking_config()
    except ConfigurationInvalid as error:
        raise click.ClickException(str(error)) from error
