"""`foreword model`: which embedding model serves, how a coming one compares, and the way back."""

from __future__ import annotations

import click
import sqlalchemy as sa

from recommender.commands.database import database_option, opened
from recommender.store import embeddings, model_changes
from servicekit.cli import UserError


@click.group()
def model() -> None:
    """The embedding model that serves: status, promote, rollback."""


@model.command()
@database_option
def status(database_url: str) -> None:
    """Say which model serves, which was before it, which is held back, and how they compared."""
    with opened(database_url, "model") as engine, engine.connect() as connection:
        state = model_changes.read_models(connection)
        click.echo(f"serves:    {_covered(connection, state.live)}")
        click.echo(f"before it: {_covered(connection, state.previous)}")
        click.echo(f"held back: {_covered(connection, state.held)}")
        for model_id, against, at, found in model_changes.comparisons(connection):
            click.echo(
                f"{at:%Y-%m-%d %H:%M} {model_id} against {against}, {found.assets:,} assets: "
                f"nearest shared {found.overlap:.0%}, similarity {found.score_shift:+.3f}, "
                f"stages moved {found.stage_shift:.0%}, index recall {found.recall:.1%}"
            )
            for finding in found.findings:
                click.echo(f"    not promoted by itself: {finding}")


@model.command()
@click.argument("model_id")
@database_option
def promote(model_id: str, database_url: str) -> None:
    """Serve MODEL_ID, though it compared badly or was taken back; it must be complete."""
    with opened(database_url, "model") as engine, engine.begin() as connection:
        if model_changes.read_models(connection).live == model_id:
            click.echo(f"{model_id} serves already.")
            return
        have, count = model_changes.coverage(connection, model_id)
        if not embeddings.promote_model(connection, model_id):
            raise UserError(
                f"{model_id} has vectors of {have:,} of {count:,} approved assets: let it finish."
            )
        model_changes.release(connection, model_id)
    click.echo(f"{model_id} serves.")


@model.command()
@database_option
def rollback(database_url: str) -> None:
    """Serve the model before again, at once, and hold the present one back until `foreword model promote`."""
    with opened(database_url, "model") as engine, engine.begin() as connection:
        try:
            now, before = model_changes.take_back(connection)
        except model_changes.NoWayBack as error:
            raise UserError(str(error)) from error
        have, count = model_changes.coverage(connection, now)
    click.echo(f"{now} serves again; {before} is held back.")
    if have < count:
        click.echo(f"{count - have:,} assets that came since wait for their vectors of {now}.")
    click.echo(f"Now let the embedder serve {now}: until then queries are answered without their text.")


def _covered(connection: sa.Connection, model_id: str | None) -> str:
    if model_id is None:
        return "none"
    have, count = model_changes.coverage(connection, model_id)
    return f"{model_id}, vectors of {have:,} of {count:,} approved assets"
