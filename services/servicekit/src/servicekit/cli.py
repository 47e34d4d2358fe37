"""The `foreword` command: each installed service adds its own sub-commands through entry points."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import click

from servicekit.settings import SettingsInvalid


class UserError(click.ClickException):
    """A mistake that one sentence explains; shown without a stack trace."""


def build() -> click.Group:
    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(package_name="foreword-servicekit", prog_name="foreword")
    def foreword() -> None:
        """Foreword: the right piece of content for a business buyer, months before they are ready to buy."""

    @foreword.command()
    @click.option("--database-url", envvar="DATABASE_URL", required=True, help="postgresql://user@host/name")
    def migrate(database_url: str) -> None:
        """Bring the database to the newest schema of every installed service."""
        for point in sorted(entry_points(group="foreword.migrations"), key=lambda p: p.name):
            revision = point.load()(database_url)
            click.echo(f"{point.name}: at revision {revision}")

    for point in sorted(entry_points(group="foreword.commands"), key=lambda p: p.name):
        for name, command in point.load().commands.items():
            foreword.add_command(command, name)
    return foreword


def main() -> None:
    try:
        build()()
    except SettingsInvalid as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
