"""`foreword simulate`: write a made-up market, buyers with hidden stages, in the shapes of the public
contract.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import orjson

from recommender.numeric.simulation import ACTIONS, SimulatedAccount, hidden_stage, simulate_market

DAY = 86_400.0


@click.command()
@click.option("--accounts", default=200, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--days", default=730, show_default=True, type=click.IntRange(120, 4_000))
@click.option("--seed", default=1, show_default=True)
@click.option("--end", default="2026-06-30", show_default=True, help="The last day of the simulation.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
def simulate(accounts: int, days: int, seed: int, end: str, out: Path) -> None:
    """Write signals.ndjson.gz (Segment calls), assets.ndjson.gz and truth.ndjson.gz (hidden stages) to a
    folder.
    """
    try:
        last = datetime.fromisoformat(end).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise click.BadParameter("a day such as 2026-06-30", param_hint="--end") from error
    start = last - days * DAY
    market = simulate_market(accounts, days, np.random.default_rng(seed))
    out.mkdir(parents=True, exist_ok=True)
    calls = [call for i, account in enumerate(market) for call in _calls(i, account, start, days)]
    calls.sort(key=lambda c: str(c["timestamp"]))
    _write(out / "signals.ndjson.gz", calls)
    types = sorted({of_type for _, of_type, *_ in ACTIONS if of_type})
    _write(out / "assets.ndjson.gz", [_asset(t, n, start) for t in types for n in range(12)])
    _write(out / "truth.ndjson.gz", [_truth(i, a, start, days) for i, a in enumerate(market)])
    opened = sum(np.isfinite(a.opened_at) and a.opened_at < days for a in market)
    click.echo(f"{accounts} accounts, {len(calls)} signals, {opened} opportunities: {out}")


def _calls(i: int, account: SimulatedAccount, start: float, days: int) -> list[dict[str, object]]:
    calls: list[dict[str, object]] = []
    for n, (at, action, person) in enumerate(zip(account.at, account.action, account.person, strict=True)):
        event, of_type = ACTIONS[int(action)][:2]
        properties = {"asset_id": f"{of_type}-{(i * 31 + n * 7) % 12}"} if of_type else {}
        calls.append(_call(i, f"p{i}-{int(person)}", f"{i}-{n}", event, start + float(at) * DAY, properties))
    for event, day in (
        ("Opportunity Opened", account.opened_at),
        ("Opportunity Won" if account.won else "Opportunity Lost", account.closed_at),
    ):
        if day < days:
            calls.append(_call(i, f"p{i}-0", f"{i}-{event}", event, start + day * DAY, {}))
    return calls


def _call(
    i: int, user: str, message: str, event: str, at: float, properties: dict[str, str]
) -> dict[str, object]:
    return {
        "type": "track",
        "messageId": f"sim-{message}",
        "userId": user,
        "event": event,
        "timestamp": _stamp(at),
        "properties": properties,
        "context": {"groupId": f"account-{i}"},
    }


def _asset(of_type: str, n: int, start: float) -> dict[str, object]:
    asset_id = f"{of_type}-{n}"
    return {
        "id": asset_id,
        "title": f"Simulated {of_type.replace('_', ' ')} {n + 1}",
        "url": f"https://simulated.example/{asset_id}",
        "type": of_type,
        "language": "en",
        "status": "approved",
        "publish_at": _stamp(start),
    }


def _truth(i: int, account: SimulatedAccount, start: float, days: int) -> dict[str, object]:
    won_at = account.closed_at if account.won else np.inf
    return {
        "account_id": f"account-{i}",
        "kind": account.kind,
        "opened_at": _stamp(start + account.opened_at * DAY) if account.opened_at < days else None,
        "closed_at": _stamp(start + account.closed_at * DAY) if account.closed_at < days else None,
        "won": account.won and account.closed_at < days,
        "stages": {
            _stamp(start + day * DAY)[:10]: hidden_stage(
                float(account.readiness[day]), customer=day >= won_at
            )
            for day in range(0, days + 1, 30)
        },
    }


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")
