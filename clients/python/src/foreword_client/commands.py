"""The client's part of the `foreword` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from foreword_client.client import Client, ForewordUnavailable, RequestRefused
from foreword_client.email_batch import RecipientsUnreadable, run_share
from foreword_client.email_csv import EmailRun, RecipientsInvalid, count_rows, fill_columns
from foreword_client.importing import (
    FileUnreadable,
    ImportReport,
    Kind,
    import_file,
    kind_of,
    opened,
)
from foreword_client.importing import Progress as Places
from foreword_client.opportunities import import_opportunities

_ROW_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


@click.group()
def group() -> None:
    """Commands that call a running Foreword."""


@contextmanager
def _told_plainly(refused: str) -> Iterator[None]:
    """What goes wrong between here and Foreword, in one sentence; `refused` begins that of a refusal."""
    try:
        yield
    except (FileUnreadable, RecipientsInvalid, RecipientsUnreadable) as error:
        raise click.ClickException(str(error)) from error
    except ForewordUnavailable as error:
        raise click.ClickException(f"{error} Run the same command again to go on.") from error
    except RequestRefused as error:
        raise click.ClickException(f"{refused}: {error}") from error


def _client(url: str, key: str | None) -> Client:
    return Client(url, _key(key, Path(os.environ.get("FOREWORD_DATA_DIR", ".foreword"))))


def _key(given: str | None, data_dir: Path) -> str:
    if given:
        return given
    path = data_dir / "keys.json"
    try:
        return str(orjson.loads(path.read_bytes())["secret"])
    except (FileNotFoundError, KeyError, orjson.JSONDecodeError) as error:
        raise click.ClickException(
            f"Give a secret key with --key or FOREWORD_KEY; there is none in {path}."
        ) from error


@group.command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--url", envvar="FOREWORD_URL", default="http://127.0.0.1:8080", show_default=True, help="The gateway."
)
@click.option("--key", envvar="FOREWORD_KEY", help="Secret key; by default the one in <data dir>/keys.json.")
@click.option(
    "--as", "stated", type=click.Choice(["assets", "signals"]), help="What the files hold, if unclear."
)
@click.option("--opportunities", is_flag=True, help="The files are CSVs of opportunities from a CRM.")
@click.option("--restart", is_flag=True, help="Begin anew where an earlier import was stopped.")
def import_files(
    files: tuple[Path, ...],
    url: str,
    key: str | None,
    stated: Kind | None,
    restart: bool,
    opportunities: bool,
) -> None:
    """Import FILES of assets (NDJSON, CSV) and signals (NDJSON of Segment calls), plain or gzip.

    An import that is stopped goes on where it was; one that is run again doubles nothing.
    """
    data_dir = Path(os.environ.get("FOREWORD_DATA_DIR", ".foreword"))
    client = Client(url, _key(key, data_dir))
    places = Places(data_dir / "imports.json")
    console = Console(stderr=True)
    failed = False
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        for path in files:
            with _told_plainly(f"Foreword refused {path.name}"):
                kind = "table" if opportunities else stated or kind_of(path)
                place = Places.key_of(path, url)
                if restart:
                    places.save(place, None)
                bar = bars.add_task(path.name, total=_size(path, kind))
                if opportunities:
                    report = import_opportunities(client, path)
                    bars.advance(bar, path.stat().st_size)
                else:
                    report = import_file(client, path, kind, places, place, partial(bars.advance, bar))
            failed = failed or bool(report.results["failed"])
            _tell(console, report)
    if failed:
        sys.exit(1)


def _size(path: Path, kind: Kind) -> int:
    """Bytes that the bar counts: of the inflated lines, or of the file as it is sent."""
    if kind == "table":
        return path.stat().st_size
    with opened(path) as stream:
        return sum(len(chunk) for chunk in iter(lambda: stream.read(1_048_576), b""))


def _tell(console: Console, report: ImportReport) -> None:
    counts = (
        ", ".join(f"{count:,} {name}" for name, count in sorted(report.results.items())) or "nothing in it"
    )
    resumed = f" (went on from line {report.resumed_at_line + 1:,})" if report.resumed_at_line else ""
    console.print(f"{report.path.name}: {counts}{resumed}", highlight=False)
    for problem in report.problems:
        console.print(f"  {problem}", style="yellow", highlight=False, markup=False)


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
@click.option("--once-an-account", is_flag=True, help="No asset twice inside an account (column account_id).")
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
    client = _client(url, key)
    console = Console(stderr=True)
    with (
        _told_plainly("Foreword refused the batch"),
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
    client = _client(url, key)
    console = Console(stderr=True)
    with _told_plainly("Foreword refused the batch"), ExitStack() as shown:
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


@group.command("sync")
@click.argument("address")
@click.option(
    "--url", envvar="FOREWORD_URL", default="http://127.0.0.1:8080", show_default=True, help="The gateway."
)
@click.option("--key", envvar="FOREWORD_KEY", help="Secret key; by default the one in <data dir>/keys.json.")
@click.option(
    "--status",
    type=click.Choice(["draft", "approved"]),
    default="draft",
    show_default=True,
    help="What new pages are stored as.",
)
@click.option("--type", "kind", help="The type of all pages, such as blog; else guessed for each.")
@click.option("--most", default=500, show_default=True, help="Pages that one run fetches at most.")
@click.option("--pause", default=1.0, show_default=True, help="Seconds between two requests to a server.")
@click.option(
    "--archive-vanished",
    is_flag=True,
    help="Archive what an earlier run brought and the sitemap names no more.",
)
@click.option("--allow-private", is_flag=True, help="Fetch from private addresses too: a firm's own network.")
def sync_site(
    address: str, url: str, key: str | None, status: str, kind: str | None, most: int, pause: float,
    archive_vanished: bool, allow_private: bool,
) -> None:  # fmt: skip
    """Keep the pages that ADDRESS lists (RSS, Atom or a sitemap) as assets.

    Run it again, by cron for instance: only what is new or has changed is fetched.
    """
    from foreword_client.syncing.polite_fetching import USER_AGENT, PoliteFetcher
    from foreword_client.syncing.sync import ListingUnreadable, PageUnavailable, SyncState, sync
    from servicekit.outbound import OutboundClient, OutboundPolicy

    data_dir = Path(os.environ.get("FOREWORD_DATA_DIR", ".foreword"))
    outbound = OutboundClient(
        OutboundPolicy(allow_private=allow_private),
        timeout_seconds=30.0,
        max_bytes=50 * 1024 * 1024,
        user_agent=USER_AGENT,
    )
    fields = {"status": status} | ({"type": kind} if kind else {})
    console = Console(stderr=True)
    try:
        report = sync(
            Client(url, _key(key, data_dir)),
            PoliteFetcher(outbound, pause_seconds=pause),
            SyncState(data_dir / "sync.json"),
            address,
            fields,
            most=most,
            archive_vanished=archive_vanished,
        )
    except (PageUnavailable, ListingUnreadable) as error:
        raise click.ClickException(f"{address} cannot be read: {str(error).rstrip(chr(46))}.") from error
    except ForewordUnavailable as error:
        raise click.ClickException(f"{error} Run the same command again to go on.") from error
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(report.results.items()))
    console.print(f"{address}: {counts or 'nothing in it'}", highlight=False)
    for problem in report.problems[:20]:
        console.print(f"  {problem}", style="yellow", highlight=False, markup=False)
    if report.problems:
        sys.exit(1)
