"""The client's part of the `foreword` command: imports and syncs; the mailings come from beside."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from foreword_client.calling import client_of, data_dir, group, told_plainly
from foreword_client.email_commands import email, email_batch
from foreword_client.importing import ImportReport, Kind, import_file, kind_of, opened
from foreword_client.importing import Progress as Places
from foreword_client.opportunities import import_opportunities

__all__ = ["email", "email_batch", "group"]


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
    client = client_of(url, key)
    places = Places(data_dir() / "imports.json")
    console = Console(stderr=True)
    failed = False
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        for path in files:
            with told_plainly(f"Foreword refused {path.name}"):
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

    outbound = OutboundClient(
        OutboundPolicy(allow_private=allow_private),
        timeout_seconds=30.0,
        max_bytes=50 * 1024 * 1024,
        user_agent=USER_AGENT,
    )
    fields = {"status": status} | ({"type": kind} if kind else {})
    console = Console(stderr=True)
    try:
        with told_plainly(f"Foreword refused what {address} lists"):
            report = sync(
                client_of(url, key),
                PoliteFetcher(outbound, pause_seconds=pause),
                SyncState(data_dir() / "sync.json"),
                address,
                fields,
                most=most,
                archive_vanished=archive_vanished,
            )
    except (PageUnavailable, ListingUnreadable) as error:
        raise click.ClickException(f"{address} cannot be read: {str(error).rstrip(chr(46))}.") from error
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(report.results.items()))
    console.print(f"{address}: {counts or 'nothing in it'}", highlight=False)
    for problem in report.problems[:20]:
        console.print(f"  {problem}", style="yellow", highlight=False, markup=False)
    if report.problems:
        sys.exit(1)
