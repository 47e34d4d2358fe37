"""The `foreword` command: each installed service adds its own sub-commands through entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import click

from servicekit.settings_invalid import SettingsInvalid


class UserError(click.ClickException):
    """A mistake that one sentence explains; shown without a stack trace."""


class _Commands(click.Group):
    """Looks for a sub-command in one package after the other, and imports no more than it takes to find it.

    `foreword import` would otherwise wait for the numerical libraries of `foreword evaluate`.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(n for g in _groups() for n in g.list_commands(ctx))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = (group.get_command(ctx, cmd_name) for group in _groups())
        return next((command for command in found if command is not None), None)


def _groups() -> Iterator[click.Group]:
    for point in sorted(entry_points(group="foreword.commands"), key=lambda p: p.name):
        yield point.load()


def build() -> click.Group:
    @click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
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

    return foreword


def _read_secrets() -> None:
    """A command reads its secrets where a service does: from files named like their variables."""
    folder = Path(os.environ.get("FOREWORD_SECRETS_DIR", ""))
    if folder.name and folder.is_dir():
        for path in folder.iterdir():
            if path.is_file() and path.name.isupper():
                os.environ.setdefault(path.name, path.read_text().strip())


def main() -> None:
    _read_secrets()
    try:
        build()()
    except SettingsInvalid as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
