"""`foreword calibrate`: learn from what the sales system reported how near an account is to buying."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from recommender.commands.database import opened
from recommender.commands.evaluation_inputs import FILE
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.domain.stage_config import load_stage_model
from recommender.service.calibrating import Calibrating
from recommender.service.calibrating import calibrate as learn
from recommender.service.evaluation_data import LogUnreadable
from recommender.service.outcome_log import OutcomeLog, log_from_database, log_from_files
from recommender.store import calibrations as store
from servicekit.cli import UserError


@click.command()
@click.option("--database-url", envvar="DATABASE_URL", help="Read from and stored here.")
@click.option("--signals", multiple=True, type=FILE, help="Read from files instead: NDJSON or .gz; several.")
@click.option(
    "--assets", multiple=True, type=FILE, help="With --signals: what the assets' types are read from."
)
@click.option("--stages-file", envvar="FOREWORD_STAGES_FILE", type=FILE, help="A firm's own stages.toml.")
@click.option("--signals-file", envvar="FOREWORD_SIGNALS_FILE", type=FILE, help="A firm's own signals.toml.")
@click.option(
    "--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write what was found here."
)
@click.option("--dry-run", is_flag=True, help="Show the table and store nothing.")
@click.option("--revert", is_flag=True, help="Take the last calibration back; the one before it is served.")
def calibrate(
    database_url: str | None,
    signals: tuple[Path, ...],
    assets: tuple[Path, ...],
    stages_file: Path | None,
    signals_file: Path | None,
    out: Path | None,
    dry_run: bool,
    revert: bool,
) -> None:
    """Fit the stage estimate to a firm's own outcomes, show the gain on accounts not fitted on, and serve it.

    Needs 200 opportunities opened, won or lost. With --signals everything is read from files; the result is
    stored in the database if one is given, and every replica takes it up within seconds.
    """
    if revert:
        _revert(database_url)
        return
    if not signals and database_url is None:
        raise UserError("Give --database-url (or DATABASE_URL), or files with --signals.")
    model = load_stage_model(stages_file)
    kinds = load_signal_kinds(signals_file.read_bytes() if signals_file else None)
    try:
        if signals:
            log: OutcomeLog = log_from_files(signals, assets, model, kinds)
        else:
            with opened(str(database_url), "calibrate") as engine, engine.connect() as connection:
                log = log_from_database(connection, model, kinds)
    except LogUnreadable as error:
        raise UserError(str(error)) from error
    found = learn(model, log)
    if found.calibration is None:
        raise UserError(
            f"No calibration: {found.reason}. Until then stages are shown by the configured prevalence."
        )
    _show(found)
    body, report = found.calibration.to_dict(), [asdict(row) for row in found.rows]
    if out is not None:
        out.write_text(json.dumps({"calibration": body, "rows": report}, indent=1) + "\n", encoding="utf-8")
        click.echo(f"Written to {out}.")
    if dry_run:
        click.echo("Dry run: nothing was stored.")
    elif database_url is not None:
        with opened(database_url, "calibrate") as engine, engine.begin() as connection:
            version = store.store(connection, model.version, body, report, datetime.now(UTC))
        click.echo(f"Stored as version {version}; every replica takes it up. Take it back with --revert.")
    else:
        click.echo("No database was given: nothing was stored.")


def _revert(database_url: str | None) -> None:
    if database_url is None:
        raise UserError("Give --database-url (or DATABASE_URL): calibrations are kept there.")
    with opened(database_url, "calibrate") as engine, engine.begin() as connection:
        taken = store.retire(connection, datetime.now(UTC))
        before = store.live(connection)
    if taken is None:
        raise UserError("There is no calibration to take back.")
    served = "the configured prevalence" if before is None else f"version {before.version}"
    click.echo(f"Version {taken} is taken back; {served} is served now.")


def _show(found: Calibrating) -> None:
    calibration = found.calibration
    assert calibration is not None
    click.echo(
        f"{found.outcome_count} outcomes, {found.snapshot_count} snapshots of {found.account_count} accounts."
        f" An opportunity opened within {calibration.horizon_days:g} days after {calibration.base_rate:.1%}."
    )
    table = Table("", "log-loss", "calibration error", "average precision", box=None, pad_edge=False)
    for row in found.rows:
        cells = [row.log_loss, row.calibration_error, row.average_precision]
        table.add_row(row.name, *("–" if cell is None else f"{cell:.4f}" for cell in cells))
    Console(width=100).print(table)
    click.echo("Each row is judged on accounts that it was not fitted on.")
