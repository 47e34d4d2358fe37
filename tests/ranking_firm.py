"""A small firm for the ranking's tests: a catalogue with vectors by topic, buyers, and a log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recommender.domain.catalogue import STAGES, TAG_FIELDS, AssetCard, Catalogue
from recommender.domain.profile import Profile, empty_profile
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.numeric.behaviour import Behaviour, EventTable, learn_behaviour

NOW = 1_700_000_000.0
DAY = 86_400.0
TYPES = ("blog", "whitepaper", "case_study", "roi_tool", "webinar_product")
KINDS = load_signal_kinds()


def card(asset_id: str, **changes: object) -> AssetCard:
    values: dict[str, object] = {
        "asset_id": asset_id,
        "title": f"Title of {asset_id}",
        "url": f"https://firm.example/{asset_id}",
        "type": "blog",
        "language": "en",
        "summary": None,
        "image_url": None,
        "topics": (),
        "personas": (),
        "industries": (),
        "regions": (),
        "equivalent_to": None,
        "stage_source": "model",
    }
    return AssetCard(**(values | changes))  # type: ignore[arg-type]


def make_catalogue(
    cards: Sequence[AssetCard],
    vectors: np.ndarray,
    *,
    published_at: np.ndarray | None = None,
    expires_at: np.ndarray | None = None,
    approved: np.ndarray | None = None,
    stage: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> Catalogue:
    n = len(cards)
    published = published_at if published_at is not None else NOW - DAY * np.arange(1.0, n + 1)
    tag_rows: dict[str, dict[str, np.ndarray]] = {field: {} for field in TAG_FIELDS}
    for field in TAG_FIELDS:
        rows: dict[str, list[int]] = {}
        for row, one in enumerate(cards):
            values = getattr(one, field)
            for value in (values,) if isinstance(values, str) else values or ():
                rows.setdefault(value, []).append(row)
        tag_rows[field] = {value: np.array(r, dtype=np.int32) for value, r in rows.items()}
    norms = np.linalg.norm(vectors, axis=1)
    return Catalogue(
        revision=1,
        model_id="test",
        cards=tuple(cards),
        row_of={one.asset_id: row for row, one in enumerate(cards)},
        vectors=vectors.astype(np.float32),
        has_vector=norms > 0,
        alive=np.ones(n, dtype=np.bool_),
        approved=approved if approved is not None else np.ones(n, dtype=np.bool_),
        publish_at=published,
        expires_at=expires_at if expires_at is not None else np.full(n, np.inf),
        published_at=published,
        stage=(stage if stage is not None else np.full((n, len(STAGES)), 0.25)).astype(np.float32),
        group=(group if group is not None else np.arange(n)).astype(np.int32),
        tag_rows=tag_rows,
    )


def make_firm(n: int = 300, d: int = 32, topics: int = 6, seed: int = 1) -> Catalogue:
    """Assets around topic centres, so that nearness in vectors means the same topic."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(topics, d))
    topic = rng.integers(topics, size=n)
    vectors = centres[topic] + 0.5 * rng.normal(size=(n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cards = [
        card(
            f"a{i}",
            type=TYPES[i % len(TYPES)],
            language="en" if i % 4 else "de",
            topics=(f"topic{topic[i]}",),
            personas=("cio",) if i % 3 == 0 else ("cfo", "cmo") if i % 3 == 1 else (),
            industries=("retail",) if i % 5 == 0 else (),
        )
        for i in range(n)
    ]
    stage = rng.dirichlet(np.full(4, 0.5), size=n)
    published = NOW - DAY * rng.uniform(0.1, 400.0, size=n)
    return make_catalogue(cards, vectors, published_at=published, stage=stage)


def make_profile(
    asset_ids: Sequence[str], days_ago: Sequence[float] | None = None, shown: dict[str, int] | None = None
) -> Profile:
    if not asset_ids and not shown:
        return empty_profile()
    ago = np.asarray(days_ago if days_ago is not None else np.linspace(60, 1, len(asset_ids)), dtype=float)
    order = sorted(range(len(asset_ids)), key=lambda i: (-ago[i], asset_ids[i]))
    at = NOW - DAY * ago[order] if len(asset_ids) else np.empty(0)
    ids = tuple(sorted(shown or {}))
    return Profile(
        asset_ids=tuple(asset_ids[i] for i in order),
        weights=np.ones(len(asset_ids)),
        first_at=at,
        last_at=at,
        shown_ids=ids,
        shown_count=np.array([(shown or {})[a] for a in ids], dtype=np.int32),
        shown_last_at=np.full(len(ids), NOW - DAY),
    )


def make_events(catalogue: Catalogue, buyers: int = 80, per_buyer: int = 12, seed: int = 2) -> EventTable:
    """Each buyer mostly reads one topic; later assets are read later."""
    rng = np.random.default_rng(seed)
    topic = np.array([int(one.topics[0][5:]) if one.topics else 0 for one in catalogue.cards])
    buyer, asset, at, kind = [], [], [], []
    view, impression, click = (KINDS.index(k) for k in ("view", "impression", "click"))
    for b in range(buyers):
        own = np.flatnonzero(topic == b % (topic.max() + 1))
        for a in rng.choice(own, size=min(per_buyer, len(own)), replace=False):
            moment = rng.uniform(catalogue.published_at[a], NOW)
            for k in (
                [view]
                + ([impression] if rng.random() < 0.5 else [])
                + ([click] if rng.random() < 0.2 else [])
            ):
                buyer.append(b)
                asset.append(int(a))
                at.append(moment)
                kind.append(k)
    return EventTable(
        np.array(buyer, dtype=np.int64),
        np.array(asset, dtype=np.int32),
        tuple(one.asset_id for one in catalogue.cards),
        np.array(at),
        np.array(kind, dtype=np.int16),
        np.ones(len(at)),
    )


def make_behaviour(catalogue: Catalogue, **changes: int) -> Behaviour:
    return learn_behaviour(make_events(catalogue, **changes), KINDS, NOW, catalogue=catalogue)
