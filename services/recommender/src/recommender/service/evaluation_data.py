"""Reads a log as `foreword import` would, from files, into a catalogue and an event table; no database
needed.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender.domain.catalogue import STAGES, TAG_FIELDS, AssetCard, Catalogue
from recommender.domain.signal_kinds import SignalKinds
from recommender.numeric.behaviour import EventTable


class LogUnreadable(Exception):
    """A file of the log cannot be used, with its name and line."""


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """`catalogue` has no vectors yet (see `with_vectors`); events are by time. `unnamed` counts signals
    without an asset, `missing` those whose asset is not in the list, `early` those before their asset's
    publication.
    """

    catalogue: Catalogue
    events: EventTable
    buyers: tuple[str, ...]
    unnamed: int
    missing: int
    early: int


def read_log(assets: Sequence[Path], signals: Sequence[Path], kinds: SignalKinds) -> Log:
    """Read NDJSON files, gzip or plain, in the shapes of the public contract; raises LogUnreadable."""
    catalogue = build_catalogue([row for path in assets for row in read_rows(path)])
    by_url = {card.url: card.asset_id for card in catalogue.cards}
    people: dict[str, int] = {}
    codes: dict[str, int] = {asset_id: i for i, asset_id in enumerate(catalogue.row_of)}
    columns: list[tuple[float, int, int, int]] = []
    seen: set[str] = set()
    unnamed = 0
    for path in signals:
        for row in read_rows(path):
            message = row.get("messageId")
            if message is not None and message in seen:
                continue
            seen.add(str(message))
            properties = row.get("properties") or {}
            asset = properties.get("asset_id") or by_url.get(str(properties.get("url")))
            who = row.get("userId") or row.get("anonymousId")
            at = moment(row.get("timestamp"))
            if asset is None or who is None or at is None:
                unnamed += 1
                continue
            name = row.get("event") if row.get("type") == "track" else None
            kind = (
                kinds.kind_of_event(str(name))
                if name
                else kinds.kind_of_page(str(properties.get("path", "")))
            )
            buyer = people.setdefault(str(who), len(people))
            columns.append((at, buyer, codes.setdefault(str(asset), len(codes)), kinds.index(kind)))
    columns.sort(key=lambda c: c[0])
    at_, buyer_, asset_, kind_ = (np.array([c[i] for c in columns]) for i in range(4))
    events = EventTable(
        buyer_.astype(np.int64),
        asset_.astype(np.int32),
        tuple(codes),
        at_.astype(np.float64),
        kind_.astype(np.int16),
        np.ones(len(columns)),
    )
    rows = np.array([catalogue.row_of.get(name, -1) for name in codes], dtype=np.int64)[events.asset]
    missing = int((rows < 0).sum())
    early = int((catalogue.publish_at[rows[rows >= 0]] > events.at[rows >= 0]).sum())
    return Log(catalogue, events, tuple(people), unnamed, missing, early)


def before(log: Log, until: float) -> Log:
    """The log as it would have been read at `until` (epoch seconds): no later signal, and no asset published
    later, whose text would move the mean that is taken out of every text and which could be drawn as
    something not chosen.
    """
    catalogue, events = log.catalogue, log.events.rows(log.events.at < until)
    rows = np.flatnonzero(catalogue.publish_at < until)
    kept = _rows_of(catalogue, rows)
    listed = {a: i for i, a in enumerate(kept.row_of)}
    code = np.full(len(events.names) + 1, -1, dtype=np.int32)  # the last for signals without an asset
    for c in dict.fromkeys(events.asset[events.asset >= 0].tolist()):
        code[c] = listed.setdefault(events.names[c], len(listed))
    return replace(log, catalogue=kept, events=replace(events, asset=code[events.asset], names=tuple(listed)))


def _rows_of(catalogue: Catalogue, rows: NDArray[np.int64]) -> Catalogue:
    """These rows of a catalogue, in their order."""
    place = np.full(len(catalogue), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    group = place[catalogue.group[rows]]
    return replace(
        catalogue,
        cards=tuple(catalogue.cards[r] for r in rows),
        row_of={a: int(place[r]) for a, r in catalogue.row_of.items() if place[r] >= 0},
        vectors=catalogue.vectors[rows],
        has_vector=catalogue.has_vector[rows],
        alive=catalogue.alive[rows],
        approved=catalogue.approved[rows],
        publish_at=catalogue.publish_at[rows],
        expires_at=catalogue.expires_at[rows],
        published_at=catalogue.published_at[rows],
        stage=catalogue.stage[rows],
        group=np.where(group >= 0, group, np.arange(len(rows))).astype(np.int32),
        tag_rows={
            name: {tag: place[r[place[r] >= 0]].astype(np.int32) for tag, r in tagged.items()}
            for name, tagged in catalogue.tag_rows.items()
        },
    )


def build_catalogue(rows: Sequence[dict[str, Any]]) -> Catalogue:
    """A catalogue without vectors from assets as the contract writes them; a later row replaces an
    earlier.
    """
    latest = {str(row["id"]): row for row in rows if row.get("id") is not None}
    cards = tuple(_card(asset_id, row) for asset_id, row in latest.items())
    n = len(cards)
    row_of = {card.asset_id: i for i, card in enumerate(cards)}
    publish = [moment(row.get("publish_at")) for row in latest.values()]
    created = [moment(row.get("created_at")) for row in latest.values()]
    expires = [moment(row.get("expires_at")) for row in latest.values()]
    stage = np.full((n, len(STAGES)), 1.0 / len(STAGES), dtype=np.float32)
    for i, row in enumerate(latest.values()):
        weights = np.array([float((row.get("stages") or {}).get(s, 0.0)) for s in STAGES])
        if weights.sum() > 0:
            stage[i] = weights / weights.sum()
    tag_rows: dict[str, dict[str, NDArray[np.int32]]] = {}
    for field in TAG_FIELDS:
        collected: dict[str, list[int]] = {}
        for i, card in enumerate(cards):
            value = getattr(card, field)
            for tag in (value,) if isinstance(value, str) else value or ():
                collected.setdefault(tag, []).append(i)
        tag_rows[field] = {tag: np.array(r, dtype=np.int32) for tag, r in collected.items()}
    return Catalogue(
        revision=0,
        model_id=None,
        cards=cards,
        row_of=row_of,
        vectors=np.zeros((n, 1), dtype=np.float32),
        has_vector=np.zeros(n, dtype=np.bool_),
        alive=np.ones(n, dtype=np.bool_),
        approved=np.array(
            [row.get("status", "approved") == "approved" for row in latest.values()], dtype=np.bool_
        ),
        publish_at=np.array([-np.inf if p is None else p for p in publish]),
        expires_at=np.array([np.inf if e is None else e for e in expires]),
        published_at=np.array(
            [p if p is not None else c or 0.0 for p, c in zip(publish, created, strict=True)]
        ),
        stage=stage,
        group=np.array(
            [row_of.get(card.equivalent_to or "", i) for i, card in enumerate(cards)], dtype=np.int32
        ).reshape(n),
        tag_rows=tag_rows,
    )


def with_vectors(catalogue: Catalogue, vectors: NDArray[np.float32], model_id: str) -> Catalogue:
    """The catalogue with embeddings float32 [N, d], unit norm or zeros."""
    has = np.linalg.norm(vectors, axis=1) > 0
    return replace(catalogue, vectors=vectors.astype(np.float32), has_vector=has, model_id=model_id)


def moment(value: object) -> float | None:
    """Epoch seconds of an RFC 3339 time; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _card(asset_id: str, row: dict[str, Any]) -> AssetCard:
    def tags(name: str) -> tuple[str, ...]:
        return tuple(str(t) for t in row.get(name) or ())

    return AssetCard(
        asset_id=asset_id,
        title=str(row.get("title") or asset_id),
        url=str(row.get("url") or ""),
        type=str(row.get("type") or "blog"),
        language=row.get("language"),
        summary=row.get("summary"),
        image_url=row.get("image_url"),
        topics=tags("topics"),
        personas=tags("personas"),
        industries=tags("industries"),
        regions=tags("regions"),
        equivalent_to=row.get("equivalent_to"),
        stage_source="editor" if row.get("stages") else "model",
    )


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                row = orjson.loads(line)
                if not isinstance(row, dict):
                    raise LogUnreadable(f"{path}, line {number}: not an object")
                yield row
    except orjson.JSONDecodeError as error:
        raise LogUnreadable(f"{path}: {error}") from error
    except (OSError, EOFError) as error:
        raise LogUnreadable(f"{path}: {error}") from error
