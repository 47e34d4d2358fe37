"""`foreword retention`: forget signals, and what was answered to them, that are older than the firm keeps."""

from __future__ import annotations

import click

from recommender.commands.database import database_option, opened
from recommender.commands.wipe_erased import told
from recommender.service.clock import system_clock
from recommender.store.retention import alone, first_kept_month, forget
from recommender.store.wipes import wipe


@click.command()
@click.option(
    "--keep-months",
    envvar="FOREWORD_KEEP_MONTHS",
    type=click.IntRange(min=1),
    default=25,
    show_default=True,
    help="Months to keep, this one included.",
)
@click.option(
    "--keep-email-days",
    envvar="FOREWORD_KEEP_EMAIL_DAYS",
    type=click.IntRange(min=1),
    default=180,
    show_default=True,
    help="Days for which a mail that is opened again shows what it showed.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@database_option
def retention(keep_months: int, keep_email_days: int, dry_run: bool, database_url: str) -> None:
    """Drop the months of the log that are older than the firm keeps, then do as `wipe-erased` does.

    Two runs at once are harmless.
    """
    now = system_clock()
    with opened(database_url, "retention") as engine, alone(engine) as mine:
        if not mine:
            click.echo("Another run of retention is under way; nothing to do.")
            return
        done = forget(engine, now, keep_months, keep_email_days=keep_email_days, dry_run=dry_run)
        wiped = None if dry_run else wipe(engine)
    verb = "Would drop" if dry_run else "Dropped"
    click.echo(f"Kept from {first_kept_month(now, keep_months):%Y-%m-%d}.")
    click.echo(f"{verb} {len(done.partitions)} months: {', '.join(done.partitions) or 'none'}.")
    for table, count in done.rows.items():
        click.echo(f"{'Would delete' if dry_run else 'Deleted'} {count:,} rows of {table}.")
    if wiped is not None:
        for line in told(wiped):
            click.echo(line)
