"""The recommender's part of the `foreword` command: one module per command."""

from __future__ import annotations

import click


@click.group()
def group() -> None:
    """Commands that need the recommender's code."""
