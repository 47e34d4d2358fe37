"""`foreword wipe-erased`: no byte of erased buyers is left in the database's files."""

from __future__ import annotations

import click

from recommender.commands.database import database_option, opened
from recommender.store.wipes import Wiped, waiting, wipe


@click.command(name="wipe-erased")
@click.option("--dry-run", is_flag=True, help="Say what would be written anew, and change nothing.")
@database_option
def wipe_erased(dry_run: bool, database_url: str) -> None:
    """Write anew the tables that held erased buyers, and finish the write-ahead log. `retention` does it too.

    Exits with 3 when something remains; the lines say what, and for how long.
    """
    with opened(database_url, "wipe-erased") as engine:
        if dry_run:
            with engine.connect() as connection:
                for relation, since in waiting(connection):
                    click.echo(f"{relation} holds erased buyers since {since:%Y-%m-%d %H:%M} UTC.")
            return
        done = wipe(engine)
    for line in told(done):
        click.echo(line)
    if done.remains:
        raise SystemExit(3)


def told(done: Wiped) -> list[str]:
    """What was done and what remains, a sentence a line."""
    written = f"Written anew: {', '.join(done.tables) or 'nothing was due'}."
    return [written, *(f"Remains: {sentence}" for sentence in done.remains)]
