"""The recommender's part of the `foreword` command: one module per command."""

from __future__ import annotations

import click

from recommender.commands.calibrate import calibrate
from recommender.commands.embed_share import embed_share
from recommender.commands.evaluate import evaluate
from recommender.commands.learn import learn
from recommender.commands.model import model
from recommender.commands.report import report
from recommender.commands.retention import retention
from recommender.commands.simulate import simulate
from recommender.commands.wipe_erased import wipe_erased


@click.group()
def group() -> None:
    """Commands that need the recommender's code."""


for _command in (calibrate, embed_share, evaluate, learn, model, report, retention, simulate, wipe_erased):
    group.add_command(_command)
