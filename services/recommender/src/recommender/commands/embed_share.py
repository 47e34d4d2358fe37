"""`foreword embed-share`: one worker's share of embedding the catalogue with the embedder's present model."""

from __future__ import annotations

import time
from pathlib import Path

import click

from recommender.clients.embedder import EmbedderClient
from recommender.commands.database import database_option, opened
from recommender.domain.stage_config import load_stage_model
from recommender.service.asset_stages import AssetStageEstimator, load_prototypes
from recommender.service.clock import system_clock
from recommender.service.encoding import AssetEncoder
from recommender.service.model_change import ModelChange
from recommender.service.share_embedding import ShareEmbedder
from recommender.store.embeddings import Share
from servicekit.cli import UserError
from servicekit.errors import UpstreamUnavailable
from servicekit.http import ServiceClient


@click.command("embed-share")
@click.option("--index", envvar="JOB_COMPLETION_INDEX", type=click.IntRange(min=0), required=True)
@click.option("--of", "count", envvar="FOREWORD_SHARES", type=click.IntRange(min=1), required=True)
@click.option(
    "--embedder-url", envvar="FOREWORD_EMBEDDER_URL", default="http://127.0.0.1:8082", show_default=True
)
@click.option(
    "--patience", default=120.0, show_default=True, help="Seconds to wait for an embedder that is away."
)
@click.option(
    "--stages-file",
    envvar="FOREWORD_STAGES_FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@database_option
def embed_share(
    index: int,
    count: int,
    embedder_url: str,
    patience: float,
    stages_file: Path | None,
    database_url: str,
) -> None:
    """Embed every asset of share INDEX (from 0) of COUNT that has no vector of the embedder's present model.

    In Kubernetes an Indexed Job gives the index. Run again, it goes on where it was stopped. Whoever finishes
    last promotes the model; replicas change over at once, and none mixes two models.
    """
    if index >= count:
        raise UserError(f"Share {index} of {count}: shares are counted from 0 to {count - 1}.")
    client = ServiceClient("embedder", embedder_url, timeout_seconds=60.0)
    encoder = AssetEncoder(EmbedderClient(client, timeout_seconds=60.0))
    with opened(database_url, "embed-share") as engine:
        stages = load_stage_model(stages_file)
        change = ModelChange(
            engine,
            lambda model_id: AssetStageEstimator(stages, load_prototypes(engine, encoder, stages, model_id)),
            system_clock,
        )
        embedder = ShareEmbedder(engine, encoder, change, system_clock, time.sleep)
        try:
            result = embedder.run(
                Share(index, count), patience, lambda n: click.echo(f"{n:,} embedded", err=True)
            )
        except UpstreamUnavailable as error:
            raise UserError("The embedder does not answer; what is done is stored. Run it again.") from error
    refused = f", {result.refused:,} refused by the embedder" if result.refused else ""
    click.echo(f"Share {index} of {count}: {result.embedded:,} embedded by {result.model_id}{refused}.")
    if result.promoted:
        click.echo(f"{result.model_id} is complete and serves.")
