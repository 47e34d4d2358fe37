"""`foreword wipe-erased`: no byte of erased buyers is left in the database's files."""

from __future__ import annotations

import click

from recommender.commands.database import database_option, opened
from recommender.store.wipes import waiting, wipe


@click.command(name="wipe-erased")
@click.option("--dry-run", is_flag=True, help="Say what would be written anew, and change nothing.")
@database_option
def wipe_erased(dry_run: bool, database_url: str) -> None:
    """Write anew the tables that held erased buyers, and finish the write-ahead log. Run it every night.

    Exits with 3 when something remains; the lines say what, and for how long.
    """
    with opened(database_url, "wipe-erased") as engine:
        if dry_run:
            with engine.connect() as connection:
                for relation, since in waiting(connection):
                    click.echo(f"{relation} holds erased buyers since {since:%Y-%m-%d %H:%M} UTC.")
            return
        done = wipe(engine)
    click.echo(f"Written anew: {', '.join(done.tables) or 'nothing was due'}.")
    for sentence in done.remains:
        click.echo(f"Remains: {sentence}")
    if done.remains:
        raise SystemExit(3)
