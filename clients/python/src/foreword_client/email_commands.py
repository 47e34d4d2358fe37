"""The commands for mailings: a CSV with recommendations in it, and shares of a large batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from foreword_client.calling import client_of, group, told_plainly
from foreword_client.email_batch import run_share
from foreword_client.email_csv import EmailRun, count_rows, fill_columns

_ROW_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


@group.command("email")
@click.argument("recipients", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The CSV to write."
)
@click.option(
    "--count", type=click.IntRange(1, 10), default=3, show_default=True, help="Assets for each recipient."
)
@click.option(
    "--placement",
    default="email",
    show_default=True,
    help="The placement whose rules and figures it counts for.",
)
@click.option("--id-column", default="user_id", show_default=True, help="The column with the buyers' ids.")
@click.option("--max-per-asset", type=click.IntRange(min=1), help="No asset to more recipients of a batch.")
@click.option(
    "--once-an-account",
    is_flag=True,
    help="No asset twice inside an account: that of the column account_id, or the one Foreword knows.",
)
@click.option(
    "--url", envvar="FOREWORD_URL", default="http://127.0.0.1:8080", show_default=True, help="The gateway."
)
@click.option("--key", envvar="FOREWORD_KEY", help="Secret key; by default the one in <data dir>/keys.json.")
def email(recipients: Path, out: Path, url: str, key: str | None, **options: Any) -> None:
    """Add recommendation columns to a CSV of RECIPIENTS, for any email tool.

    It needs a column user_id (or --id-column, or anonymous_id); account_id helps. For each of COUNT assets
    come fw_1_title, fw_1_url, fw_1_summary, fw_1_type and fw_1_image_url. A run that is stopped goes on where
    it was.
    """
    run = EmailRun(**options)
    client = client_of(url, key)
    console = Console(stderr=True)
    with (
        told_plainly("Foreword refused the batch"),
        Progress(*_ROW_COLUMNS, console=console) as bars,
    ):
        bar = bars.add_task(recipients.name, total=count_rows(recipients, run))
        report = fill_columns(client, recipients, out, run, partial(bars.advance, bar))
    resumed = f" (went on after {report.resumed:,})" if report.resumed else ""
    console.print(
        f"{out}: {report.rows:,} rows{resumed}, {report.problems:,} with a problem",
        highlight=False,
        soft_wrap=True,
    )


@group.command("email-batch")
@click.argument("recipients", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write into."
)
@click.option(
    "--index",
    envvar="JOB_COMPLETION_INDEX",
    type=click.IntRange(min=0),
    default=0,
    help="Which share this is.",
)
@click.option(
    "--of",
    "count",
    envvar="FOREWORD_SHARES",
    type=click.IntRange(min=1),
    default=1,
    help="How many there are.",
)
@click.option(
    "--url", envvar="FOREWORD_URL", default="http://127.0.0.1:8080", show_default=True, help="The gateway."
)
@click.option("--key", envvar="FOREWORD_KEY", help="Secret key; by default the one in <data dir>/keys.json.")
def email_batch(recipients: Path, out: Path, index: int, count: int, url: str, key: str | None) -> None:
    """Write recommendations for the RECIPIENTS of share INDEX (from 0) of COUNT into the folder OUT.

    A line of RECIPIENTS is a request of /v1/recommendations:batch. Run again, it goes on where it stopped.
    """
    if index >= count:
        raise click.ClickException(f"Share {index} of {count}: shares are counted from 0 to {count - 1}.")
    client = client_of(url, key)
    console = Console(stderr=True)
    with told_plainly("Foreword refused the batch"), ExitStack() as shown:
        # A person watches a bar; a Job's log gets a line now and then.
        tell: Callable[[int], None] = lambda n: click.echo(f"{n:,} answered", err=True)  # noqa: E731
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                TextColumn("{task.completed:,}"),
                TimeElapsedColumn(),
            )
            bars = shown.enter_context(Progress(*columns, console=console))
            bar = bars.add_task(f"{recipients.name}, answered", total=None)
            tell = partial(_advance_to, bars, bar)
        report = run_share(client, recipients, out, index, count, tell)
    resumed = f", {report.resumed:,} of them before" if report.resumed else ""
    click.echo(f"{report.path.name}: {report.answered:,} answered{resumed}, {report.problems:,} refused.")


def _advance_to(bars: Progress, bar: TaskID, answered: int) -> None:
    bars.update(bar, completed=answered)
