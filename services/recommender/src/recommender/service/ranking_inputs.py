"""Gathers what the ranking needs of one request: interest, suppressed rows, and the inputs of the score
terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import Catalogue
from recommender.domain.profile import Profile, empty_profile
from recommender.domain.ranking_config import RankingConfig
from recommender.domain.ranking_request import RankRequest
from recommender.numeric.behaviour import AlignedBehaviour, Behaviour
from recommender.numeric.candidates import fresh_rows
from recommender.numeric.interest import Interest, read_interest
from recommender.numeric.linked import entries
from recommender.numeric.score_terms import KINDRED_HALF_LIFE, BuyerInputs
from recommender.numeric.tags import TagTable, tag_table
from recommender.numeric.text_space import LastUsed, TextSpace, text_space

DAY = 86_400.0
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
STRANGER = np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
"""Of whom nothing is known is most likely at the very beginning, and half of a stage's weight says so:
release notes, however new, are nothing to meet a firm by.
"""


def _siblings(catalogue: Catalogue) -> Mapping[int, Rows]:
    """Rows of each group of equivalent assets that has more than one."""
    order = np.argsort(catalogue.group, kind="stable")
    groups, starts, counts = np.unique(catalogue.group[order], return_index=True, return_counts=True)
    return {
        int(g): order[s : s + c].astype(np.int64)
        for g, s, c in zip(groups, starts, counts, strict=True)
        if c > 1
    }


siblings: LastUsed[Catalogue, Mapping[int, Rows]] = LastUsed(_siblings)
newest: LastUsed[Catalogue, Rows] = LastUsed(fresh_rows)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What all requests of one call share."""

    catalogue: Catalogue
    behaviour: Behaviour
    aligned: AlignedBehaviour
    config: RankingConfig
    space: TextSpace
    tags: TagTable
    now: float


def set_scene(catalogue: Catalogue, behaviour: Behaviour, config: RankingConfig, now: float) -> Scene:
    aligned = behaviour.aligned(catalogue)
    return Scene(catalogue, behaviour, aligned, config, text_space(catalogue), tag_table(catalogue), now)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One request, made ready. `suppressed` maps a row to why this buyer isn't shown it; `again` the rows of
    what they have used and may want to use again to when they last did, epoch seconds. `unread_languages`
    bool [L]: the languages that a buyer who has stated another one does not read.
    """

    request: RankRequest
    interest: Interest
    inputs: BuyerInputs
    suppressed: Mapping[int, str]
    shows: Mapping[int, tuple[float, float]]  # row → (shows without an answer, last one, epoch seconds)
    again: Mapping[int, float]
    unread_languages: NDArray[np.bool_]
    tier: str


def prepare(
    scene: Scene, request: RankRequest, together: tuple[Floats, Floats, Floats], interest: Interest
) -> Prepared:
    """`together`: this buyer's rows of engaged-together strength, as `together_rows` gives them."""
    catalogue, space, tags = scene.catalogue, scene.space, scene.tags
    settings = scene.config.interest
    personal = request.personalise
    profile = request.profile if personal else empty_profile()
    stage = request.stage if personal else None
    account = request.account_profile if personal else None
    queries = {0: interest.query(interest.recent), 1: interest.query(interest.long)}
    gap = np.zeros(tags.size)
    colleagues = None
    if account is not None and account.asset_ids:
        colleagues = read_interest(account, catalogue, space, settings, scene.now)
        queries[2] = colleagues.query(colleagues.long)
        gap = _unreached(tags, colleagues.rows)
    context = catalogue.row_of.get(request.context_asset_id) if request.context_asset_id else None
    if context is not None:
        queries[3] = space.centred(catalogue, np.array([context]))[0]
    if request.query_vector is not None:
        queries[4] = space.centred_text(request.query_vector, request.language)
    attended, attention = interest.attended(settings.attended)
    asked = tuple(q for q, vector in queries.items() if vector.any())
    kindred = scene.behaviour.kindred
    place = kindred.place(scene.aligned.index[interest.rows], interest.long)
    nearby = np.zeros(1)
    if place.any():
        nearby = kindred.chosen_nearby(place, len(scene.behaviour.asset_ids), KINDRED_HALF_LIFE, scene.now)
    linked = scene.behaviour.linked
    spoken = linked.spoken_for(linked.places(catalogue)[interest.rows], interest.long)
    inputs = BuyerInputs(
        directions=_padded([*(queries[q][None] for q in asked), attended]),
        asked=asked,
        attention=attention,
        stage=stage if len(interest.rows) or stage is not None else STRANGER,
        language_share=_languages(space, interest, request.language),
        affinity=tags.affinity(interest.rows, interest.long),
        last_visit=float(profile.last_at[-1]) if len(profile.last_at) else np.inf,
        together=together[0],
        together_recent=together[1],
        walk=together[2],
        spoken=spoken,
        kindred=nearby,
        place=place,
        persona=tags.find("personas", request.persona if personal else None),
        industry=tags.find("industries", request.industry if personal else None),
        gap=gap,
    )
    again = _again(scene, profile)
    suppressed, shows = _suppressed(scene, request, profile, context, again)
    tier = _tier(scene, request, interest, colleagues)
    unread = _unread_languages(scene, interest, request.language)
    return Prepared(request, interest, inputs, suppressed, shows, again, unread, tier)


def _padded(directions: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One below the other, with rows of zeros up to a multiple of 16: the product of matrices takes a quarter
    less time so.
    """
    count = sum(map(len, directions))
    zeros = np.zeros((-count % 16, directions[-1].shape[1]), dtype=np.float32)
    return np.concatenate([*directions, zeros])


def together_rows(scene: Scene, interest: Interest) -> tuple[Floats, Floats, Floats]:
    """float64 [A' + 1] three times, the last entry 0: what the long and the recent engagements speak for, and
    where a walk from any of them ends, relative to where it ends most.
    """
    together, walk = scene.behaviour.together, scene.behaviour.walk
    size = together.shape[0]
    index = scene.aligned.together_index[interest.rows]
    known = index >= 0
    if not size or not known.any():
        return np.zeros(1), np.zeros(1), np.zeros(1)
    index = index[known]
    columns, strengths, counts = entries(together, index)
    spoken = [
        _summed(columns, strengths * np.repeat(w / np.sqrt(max(1.0, float(w.sum()))), counts), size)
        for w in (interest.long[known], interest.recent[known])
    ]
    columns, strengths, _ = entries(walk, index)
    ends = _summed(columns, strengths, size)
    ends /= max(float(ends.max()), 1e-12)
    return spoken[0], spoken[1], ends


def _summed(columns: NDArray[np.int32], values: NDArray[np.floating], size: int) -> Floats:
    """float64 [size + 1]: the values added up by column."""
    return np.bincount(columns, weights=values, minlength=size + 1).astype(np.float64, copy=False)


def _languages(space: TextSpace, interest: Interest, language: str | None) -> Floats:
    """float64 [L]: the share of each language in what was engaged with; a stated language counts as much
    again.
    """
    share = _languages_read(space, interest)
    if language is not None and language in space.languages:
        stated = np.zeros_like(share)
        stated[space.languages[language]] = 1.0
        share = (share + stated) / 2 if share.any() else stated
    return share


def _languages_read(space: TextSpace, interest: Interest) -> Floats:
    share = np.zeros(max(1, len(space.languages)))
    if len(interest.rows):
        share += np.bincount(space.language[interest.rows], weights=interest.long, minlength=len(share))
        share /= max(float(share.sum()), 1e-12)
    return share


def _unread_languages(scene: Scene, interest: Interest, stated: str | None) -> NDArray[np.bool_]:
    languages, settings = scene.space.languages, scene.config.other_language
    if stated is None or not settings.penalty:
        return np.zeros(max(1, len(languages)), dtype=np.bool_)
    unread = _languages_read(scene.space, interest) < settings.least_share
    for known in (stated, ""):  # what doesn't tell its language may be in any
        if known in languages:
            unread[languages[known]] = False
    return unread


def _unreached(tags: TagTable, rows: Rows) -> Floats:
    reached = set(np.unique(tags.of_row[rows]).tolist())
    return np.array(
        [float(field == "personas" and i not in reached) for (field, _), i in tags.index.items()] + [0.0]
    )


def _again(scene: Scene, profile: Profile) -> dict[int, float]:
    settings, cards = scene.config.again, scene.catalogue.cards
    if not settings.types:
        return {}
    rested = np.flatnonzero(profile.last_at <= scene.now - settings.after_days * DAY)
    found = {scene.catalogue.row_of.get(profile.asset_ids[i]): float(profile.last_at[i]) for i in rested}
    return {row: at for row, at in found.items() if row is not None and cards[row].type in settings.types}


def _suppressed(
    scene: Scene,
    request: RankRequest,
    profile: Profile,
    context: int | None,
    again: Mapping[int, float],
) -> tuple[dict[int, str], dict[int, tuple[float, float]]]:
    row_of, group, related = scene.catalogue.row_of, scene.catalogue.group, siblings(scene.catalogue)
    why: dict[int, str] = {}

    def equivalents(row: int) -> None:
        for other in related.get(int(group[row]), ()):
            why.setdefault(int(other), "equivalent_seen")

    if context is not None:
        why[context] = "context"
        equivalents(context)
    for asset_id in (*request.exclude_ids, *request.rules.exclude_ids):
        if (row := row_of.get(asset_id)) is not None:
            why[row] = "excluded" if asset_id in request.exclude_ids else "rule"
    engaged = (row_of.get(asset_id) for asset_id in profile.asset_ids)
    seen = [row for row in engaged if row is not None and row not in again]
    for row in seen:
        why.setdefault(row, "seen")
    if related:
        for row in seen:
            equivalents(row)
    cap = scene.config.fatigue
    most = request.rules.most_shows or cap.cap_shows
    rest_days = request.rules.rest_days or cap.cap_days
    shows = {}
    for i, asset_id in enumerate(profile.shown_ids):
        if (row := row_of.get(asset_id)) is None:
            continue
        count, last = float(profile.shown_count[i]), float(profile.shown_last_at[i])
        shows[row] = (count, last)
        if most and count >= most and scene.now - last < rest_days * DAY:
            why.setdefault(row, "capped")
    return why, shows


def _tier(scene: Scene, request: RankRequest, interest: Interest, colleagues: Interest | None) -> str:
    if len(interest.rows):
        return "personal"
    if colleagues is not None and len(colleagues.rows):
        return "account"
    if request.personalise and request.stage is not None:
        return "stage"
    return "static" if scene.behaviour.is_empty else "popular"
