"""`python -m recommender.commands.choose_display`: which power of the shown evidence suits simulated stages.

Markets other than those that `docs/quality.md` reports on. Log-loss of consideration or decision against the
hidden readiness, snapshots weighed so that intent is as frequent as the configured prevalence.
"""

from __future__ import annotations

import click
import numpy as np

from recommender.domain.signal_kinds import load_signal_kinds
from recommender.domain.stage_config import load_stage_model
from recommender.numeric.outcome_history import take_snapshots
from recommender.numeric.simulation import hidden_stage, simulate_market
from recommender.numeric.stage_display import intent, log_odds, prevalent_odds, start_odds
from recommender.service.evaluation_stages import DAY, EPOCH, history_of

POWERS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


@click.command()
@click.option("--seeds", default="11,12,13", show_default=True)
@click.option("--accounts", default=400, show_default=True)
def choose_display(seeds: str, accounts: int) -> None:
    """Print the log-loss of each power, and of showing everybody the prevalence."""
    model, kinds = load_stage_model(), load_signal_kinds()
    days = np.arange(120.0, 720.0, 30.0)
    moved, near = [], []
    for seed in seeds.split(","):
        market = simulate_market(accounts, 730, np.random.default_rng(int(seed)))
        histories = [history_of(model, kinds, account) for account in market]
        shots = take_snapshots(model, histories, EPOCH + DAY * days, with_outcomes=False)
        asked = np.array([account.opened_at > day for day in days for account in market])
        stages = [hidden_stage(float(a.readiness[int(day)]), customer=False) for day in days for a in market]
        moved.append((log_odds(intent(model, shots.p)) - start_odds(model))[asked])
        near.append(np.isin(stages, ["consideration", "decision"])[asked])
    evidence, truth = np.concatenate(moved), np.concatenate(near)
    prior = prevalent_odds(model)
    share = 1.0 / (1.0 + np.exp(-prior))
    weight = np.where(truth, share / truth.mean(), (1.0 - share) / (1.0 - truth.mean()))
    for power in (0.0, *POWERS):
        odds = prior + power * evidence
        loss = float(weight @ (np.logaddexp(0.0, odds) - odds * truth) / weight.sum())
        click.echo(f"power {power:.1f}: log-loss {loss:.3f}" + (" (prevalence alone)" if power == 0 else ""))


if __name__ == "__main__":
    choose_display()
