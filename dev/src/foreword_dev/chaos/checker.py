"""The independent checker: its own SQL and its own replay against what the ledger says was acknowledged.

Nothing of the recommender is imported here. What the log must fold into is written down once more, by hand,
from the documentation: a shared mistake would go unseen.
"""

from __future__ import annotations

import base64
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import psycopg
import urllib3

from foreword_dev.chaos.ledger import AssetWrites, Ledger

# What one signal says of the interest in its asset, and the most that all of them together may say.
WEIGHTS = {
    "Asset Downloaded": ("download", 3.0),
    "Content Viewed": ("view", 1.0),
    "Content Shared": ("share", 3.0),
    "Webinar Attended": ("webinar_attended", 4.0),
    "Recommendation Viewed": ("impression", 0.0),
    "identify": ("identify", 0.0),
}
_MOST = 8.0
_SAMPLE = 60
_TOLD = 5


@dataclass(slots=True)
class Verdict:
    """What was held against each other, and every difference that was found."""

    acknowledged_signals: int = 0
    acknowledged_assets: int = 0
    stored_signals: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    came_back: list[str] = field(default_factory=list)
    divergent: list[str] = field(default_factory=list)
    profiles: int = 0
    index: list[str] = field(default_factory=list)
    indexed: int = 0
    erased: int = 0
    dated_anew: int = 0

    @property
    def findings(self) -> dict[str, list[str]]:
        return {
            "acknowledged and lost": self.lost,
            "stored twice": self.doubled,
            "stored otherwise than sent": self.altered,
            "stored and never sent": self.unknown,
            "erased and come back": self.came_back,
            "profile differs from the replay": self.divergent,
            "index differs from the catalogue": self.index,
        }

    @property
    def clean(self) -> bool:
        return not any(self.findings.values())

    def told(self) -> str:
        return "\n".join(
            f"{name}: {len(found)}" + "".join(f"\n  {one}" for one in found[:_TOLD])
            for name, found in self.findings.items()
            if found
        )


def check(
    ledger: Ledger,
    database_url: str,
    recommenders: Sequence[str],
    embedder: str,
    seed: int,
    *,
    clocks_were_wrong: bool = False,
) -> Verdict:
    """Everything, when the load has ended and all is calm. A wrong clock excuses wrong dates, and no more."""
    verdict = Verdict()
    with psycopg.connect(database_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        _check_signals(connection, ledger, verdict, dates=not clocks_were_wrong)
        _check_erasures(connection, ledger, verdict)
        _check_profiles(connection, ledger, verdict)
        _check_assets(connection, ledger, verdict)
        _check_vectors(connection, embedder, random.Random(seed), verdict)
        _check_replicas(connection, recommenders, random.Random(seed), verdict)
    return verdict


def _check_signals(connection: psycopg.Connection, ledger: Ledger, verdict: Verdict, *, dates: bool) -> None:
    rows = connection.execute(
        "SELECT s.event->>'messageId', s.kind, s.asset_id, s.at, s.event, i.kind, i.external_id "
        "FROM recommender.signals s LEFT JOIN recommender.identities i USING (identity_id)"
    ).fetchall()
    found: dict[str, list[Sequence[Any]]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    verdict.stored_signals = len(rows)
    for message_id, copies in found.items():
        if len(copies) > 1:
            verdict.doubled.append(f"signal {message_id}, {len(copies)} times")
        leaving = message_id.startswith("e-")  # judged with the erasures
        if message_id not in ledger.signals and not leaving:
            verdict.unknown.append(f"signal {message_id}")
    for sent in ledger.acknowledged():
        verdict.acknowledged_signals += 1
        if sent.message_id not in found:
            verdict.lost.append(f"signal {sent.message_id} of {sent.user_id or sent.anonymous_id}")
            continue
        _, kind, asset_id, at, event, identity_kind, external_id = found[sent.message_id][0]
        owner = ("user", sent.user_id) if sent.user_id else ("anonymous", sent.anonymous_id)
        said = {"kind": WEIGHTS[sent.event][0], "asset": sent.asset_id, "owner": owner}
        holds = {"kind": kind, "asset": asset_id, "owner": (identity_kind, external_id)}
        if said != holds or event.get("event", "identify") != sent.event:
            verdict.altered.append(f"signal {sent.message_id}: {holds} instead of {said}")
        elif sent.timestamp is not None and at != datetime.fromisoformat(sent.timestamp):
            verdict.dated_anew += 1
            if dates:
                verdict.altered.append(f"signal {sent.message_id}: at {at} instead of {sent.timestamp}")
    keys = _count(connection, "SELECT count(*) FROM recommender.signal_keys")
    letters = _count(connection, "SELECT count(*) FROM recommender.dead_letters")
    # An erased buyer's signals are gone, and their keys stay to keep replays out.
    if keys < len(found) or letters:
        verdict.unknown.append(f"{keys} message keys for {len(found)} signals, {letters} dead letters")


def _check_erasures(connection: psycopg.Connection, ledger: Ledger, verdict: Verdict) -> None:
    for erasure in ledger.erasures.values():
        if erasure.acknowledged_at is None:
            continue
        verdict.erased += 1
        for query in (
            "SELECT count(*) FROM recommender.signals WHERE event->>'userId' = %s",
            "SELECT count(*) FROM recommender.identities WHERE external_id = %s",
        ):
            if _count(connection, query, erasure.user_id):
                verdict.came_back.append(erasure.user_id)


def _count(connection: psycopg.Connection, query: str, *values: object) -> int:
    row = connection.execute(query, values).fetchone()
    return int(row[0]) if row is not None else 0


def _check_profiles(connection: psycopg.Connection, ledger: Ledger, verdict: Verdict) -> None:
    """Buyers as the merges make them, their log replayed here, against the state that is kept."""
    owners = {
        (kind, name): buyer
        for kind, name, buyer in connection.execute(
            "SELECT kind, external_id, buyer_id FROM recommender.identities"
        )
    }
    for user, anonymous in ledger.merges:
        if owners.get(("user", user)) != owners.get(("anonymous", anonymous)):
            verdict.divergent.append(f"{user} and {anonymous} were joined and are not one buyer")
    logs: dict[int, list[tuple[float, str, str | None]]] = defaultdict(list)
    for buyer, at, kind, asset_id in connection.execute(
        "SELECT i.buyer_id, extract(epoch FROM s.at)::float8, s.kind, s.asset_id "
        "FROM recommender.signals s JOIN recommender.identities i USING (identity_id) WHERE s.at <= now()"
    ):
        logs[buyer].append((at, kind, asset_id))
    kept = {
        buyer: orjson.loads(state)
        for buyer, state in connection.execute("SELECT buyer_id, state FROM recommender.profiles")
    }
    for buyer, log in logs.items():
        verdict.profiles += 1
        difference = _difference(replayed(log), kept.get(buyer))
        if difference:
            verdict.divergent.append(f"buyer {buyer}: {difference}")


def replayed(log: Iterable[tuple[float, str, str | None]]) -> dict[str, Any]:
    """What a profile must hold after these signals `(at, kind, asset id)`, in whatever order they came."""
    worth = dict(WEIGHTS.values())
    weight: Counter[str] = Counter()
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    shown: dict[str, list[float]] = defaultdict(list)
    count = 0
    for at, kind, asset_id in log:
        count += 1
        if asset_id is None:
            continue
        if kind == "impression":
            shown[asset_id].append(at)
        elif worth[kind]:
            weight[asset_id] += worth[kind]  # type: ignore[assignment]
            first[asset_id] = min(at, first.get(asset_id, at))
            last[asset_id] = max(at, last.get(asset_id, at))
    engaged = {a: (min(_MOST, float(weight[a])), first[a], last[a]) for a in weight}
    later = {a: [at for at in times if at > last.get(a, float("-inf"))] for a, times in shown.items()}
    return {
        "engaged": engaged,
        "shown": {a: (len(times), max(times)) for a, times in later.items() if times},
        "count": count,
    }


def _difference(wanted: Mapping[str, Any], state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "no profile is kept"
    engaged = {
        a: (w, f, until)
        for a, w, f, until in zip(state["ids"], state["weights"], state["first"], state["last"], strict=True)
    }
    shown = {
        a: (n, at) for a, n, at in zip(state["shown"], state["shown_count"], state["shown_last"], strict=True)
    }
    if state["count"] != wanted["count"]:
        return f"{state['count']} signals instead of {wanted['count']}"
    for name, holds in (("engaged", engaged), ("shown", shown)):
        for asset_id in wanted[name].keys() | holds.keys():
            ours, theirs = wanted[name].get(asset_id), holds.get(asset_id)
            if ours is None or theirs is None or not np.allclose(ours, theirs, rtol=0, atol=1e-3):
                return f"{name} {asset_id}: {theirs} instead of {ours}"
    return ""


def _check_assets(connection: psycopg.Connection, ledger: Ledger, verdict: Verdict) -> None:
    rows = {
        asset_id: None if deleted else title
        for asset_id, title, deleted in connection.execute(
            "SELECT asset_id, title, deleted_at IS NOT NULL FROM recommender.assets"
        )
    }
    for asset_id, writes in ledger.assets.items():
        verdict.acknowledged_assets += writes.settled > 0
        if problem := _asset_problem(writes, asset_id in rows, rows.get(asset_id)):
            verdict.lost.append(f"asset {asset_id}: {problem}")
    for asset_id in rows.keys() - ledger.assets.keys():
        verdict.unknown.append(f"asset {asset_id}")


def _asset_problem(writes: AssetWrites, stored: bool, title: str | None) -> str:
    """Allowed is the last acknowledged write, or any that was tried after it and got no answer."""
    possible = [None, *writes.tried] if not writes.settled else writes.tried[writes.settled - 1 :]
    if (title if stored else None) in possible:
        return ""
    return f"it is {title!r}, and acknowledged was {writes.tried[writes.settled - 1]!r}"


def _check_vectors(
    connection: psycopg.Connection, embedder: str, rng: random.Random, verdict: Verdict
) -> None:
    """Every living asset has a vector of the live model, and it is the one that its text has today."""
    rows = connection.execute(
        "SELECT a.asset_id, a.title, e.vector, h.live_model FROM recommender.catalogue_head h "
        "CROSS JOIN recommender.assets a LEFT JOIN recommender.embeddings e "
        "ON e.asset_id = a.asset_id AND e.model_id = h.live_model WHERE a.deleted_at IS NULL"
    ).fetchall()
    for asset_id, _, vector, model in rows:
        if vector is None:
            verdict.index.append(f"{asset_id} has no vector of {model}")
    for asset_id, title, vector, model in rng.sample(rows, min(_SAMPLE, len(rows))):
        if vector is None:
            continue
        asked = {"input": [title], "encoding_format": "base64"}
        answer = urllib3.request("POST", f"{embedder}/v1/embeddings", json=asked)
        document = answer.json()
        wanted = np.frombuffer(base64.b64decode(document["data"][0]["embedding"]), dtype="<f4")
        stored = np.frombuffer(vector, dtype="<f4")
        if document["model"] != model:
            verdict.index.append(f"{model} is live, and the embedder serves {document['model']}")
            return
        if stored.shape != wanted.shape or float(stored @ wanted) < 0.999:
            verdict.index.append(f"the vector of {asset_id} is not that of its text")


def _check_replicas(
    connection: psycopg.Connection, recommenders: Sequence[str], rng: random.Random, verdict: Verdict
) -> None:
    """Each replica finds what lives by its own title, and never what was deleted."""
    rows = connection.execute(
        "SELECT asset_id, title, deleted_at IS NOT NULL FROM recommender.assets ORDER BY asset_id"
    ).fetchall()
    living = [row for row in rows if not row[2]]
    dead = [row for row in rows if row[2]]
    for url in recommenders:
        for asset_id, title, _ in rng.sample(living, min(_SAMPLE, len(living))):
            verdict.indexed += 1
            if (asset_id, title) not in (found := _found(url, title)):
                verdict.index.append(f"{url} finds {found} for {asset_id}, {title!r}")
        shown = _shown(url, [row[0] for row in living], [row[0] for row in dead[:_SAMPLE]])
        verdict.index += [f"{url}: {one}" for one in shown]


def _found(url: str, title: str) -> list[tuple[str, str]]:
    answer = urllib3.request("GET", f"{url}/v1/search", fields={"q": title, "count": "3"}, timeout=10.0)
    return [(item["id"], item["title"]) for item in answer.json()["items"]] if answer.status == 200 else []


def _shown(url: str, living: Sequence[str], dead: Sequence[str]) -> list[str]:
    """Asked why each asset is or is not in the answer, a replica says whether it holds it at all."""
    problems = []
    for ids, wanted in ((living, 200), (dead, 404)):
        for asset_id in ids[:200]:
            body = {"anonymous_id": "the checker", "count": 50, "asset_id": asset_id}
            answer = urllib3.request("POST", f"{url}/v1/explain", json=body, timeout=10.0)
            if answer.status != wanted:
                problems.append(f"explains {asset_id} with {answer.status} instead of {wanted}")
    return problems
