"""Properties of the ranking that hold for every catalogue, buyer and rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_firm import NOW, make_behaviour, make_firm, make_profile
from recommender.domain.ranking_reader import load_ranking_config
from recommender.numeric.behaviour import empty_behaviour
from recommender.numeric.candidates import ExactSearch, merge
from recommender.numeric.rerank import choose
from recommender.numeric.selection import top
from recommender.service.ranker import PlacementRules, RankRequest, recommend_block

FIRM = make_firm(90, 16)
SEARCH = ExactSearch(FIRM.vectors)
LEARNT = make_behaviour(FIRM, buyers=30, per_buyer=6)
CONFIG = load_ranking_config()
SMALL = replace(CONFIG, candidates=replace(CONFIG.candidates, width=40, recent=8, popular=6, fresh=8))
ids = st.integers(0, 89).map(lambda i: f"a{i}")


@st.composite
def requests(draw: st.DrawFn) -> RankRequest:
    seen = draw(st.lists(ids, max_size=30, unique=True))
    shown = draw(st.dictionaries(ids, st.integers(1, 30), max_size=5))
    weights = draw(st.lists(st.floats(0.01, 1.0), min_size=7, max_size=7))
    stage = np.array(weights) / sum(weights) if draw(st.booleans()) else None
    return RankRequest(
        profile=make_profile(seen, shown=shown),
        stage=stage,
        context_asset_id=draw(st.none() | ids),
        exclude_ids=frozenset(draw(st.lists(ids, max_size=4))),
        rules=PlacementRules(pin=tuple(draw(st.lists(ids, max_size=2, unique=True)))),
        goal=draw(st.sampled_from(["advance", "nurture", "reactivate"])),
        count=draw(st.integers(1, 20)),
        persona=draw(st.none() | st.sampled_from(["cio", "cfo", "stranger"])),
        seed=draw(st.integers(0, 2**40)),
        personalise=draw(st.booleans()),
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=5), st.booleans())
def test_an_answer_is_sound_and_does_not_depend_on_its_neighbours(
    asked: list[RankRequest], cold: bool
) -> None:
    behaviour = empty_behaviour(CONFIG) if cold else LEARNT
    answers = recommend_block(FIRM, SEARCH, behaviour, SMALL, asked, NOW)
    for request, answer in zip(asked, answers, strict=True):
        assert recommend_block(FIRM, SEARCH, behaviour, SMALL, [request], NOW)[0] == answer
        got = [item.asset_id for item in answer.items]
        assert len(got) == len(set(got)) <= request.count
        assert not set(got) & request.exclude_ids
        assert request.context_asset_id not in got
        if request.personalise:
            returning = {one.asset_id for one in FIRM.cards if one.type in CONFIG.again.types}
            assert not set(got) & set(request.profile.asset_ids) - returning
        for item in answer.items:
            assert sum(item.terms.values()) == pytest.approx(item.score, abs=1e-9)
            assert 0 < item.propensity <= 1
            assert item.reasons


@given(st.lists(st.floats(-5, 5), max_size=60), st.integers(0, 70))
def test_top_is_what_sorting_gives(values: list[float], k: int) -> None:
    array = np.array(values)
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]
    assert top(array, k).tolist() == expected


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 29), unique=True, max_size=20), st.integers(1, 9)), max_size=5
    ),
    st.sets(st.integers(0, 29)),
    st.integers(1, 25),
)
def test_merged_candidates_are_distinct_unblocked_and_hold_each_sources_best(
    sources: list[tuple[list[int], int]], blocked: set[int], width: int
) -> None:
    mask = np.zeros(30, dtype=np.bool_)
    mask[list(blocked)] = True
    merged = merge([(np.array(rows, dtype=np.int64), quota) for rows, quota in sources], mask, width)
    assert len(merged) <= width
    assert len(set(merged.tolist())) == len(merged)
    assert not set(merged.tolist()) & blocked
    firsts = {next((r for r in rows if r not in blocked), None) for rows, _ in sources} - {None}
    if len(firsts) <= width:
        assert firsts <= set(merged.tolist())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 10**6), st.floats(0.0, 1.0))
def test_propensities_of_the_last_place_add_up_to_one(n: int, count: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    score, vectors = rng.normal(size=n), np.zeros((n, 4), dtype=np.float32)
    group, kind = np.arange(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    config = replace(CONFIG.rerank, explore_share=share, explore_pool=6)
    chances: dict[int, float] = {}
    for trial in range(80):
        chosen = choose(
            score, vectors, group, kind, count, config, unexplored=rng.normal(size=n) * 0, seed=trial
        )
        assert len(chosen.positions) == min(n, count)
        assert all(p == 1.0 for p in chosen.propensity[:-1])
        chances[chosen.positions[-1]] = chosen.propensity[-1]
    assert sum(chances.values()) <= 1.0 + 1e-9
