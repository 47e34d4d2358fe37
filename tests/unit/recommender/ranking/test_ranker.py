"""What a buyer is recommended, and what never."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ranking_firm import DAY, NOW, card, make_behaviour, make_catalogue, make_firm, make_profile
from recommender.domain.catalogue import Catalogue
from recommender.domain.filters import AnyOf, Filter, parse_filter
from recommender.domain.ranking_config import TERMS, AgainSettings, Curve, RankingConfig
from recommender.domain.ranking_reader import load_ranking_config
from recommender.numeric.behaviour import Behaviour, empty_behaviour
from recommender.numeric.candidates import ExactSearch
from recommender.numeric.ranking import contributions, score_parts
from recommender.numeric.score_terms import score_terms
from recommender.service.ranker import PlacementRules, RankedAnswer, RankRequest, explain, recommend_block
from recommender.service.ranking_inputs import set_scene
from recommender.service.ranking_score import prepare_all

FIRM = make_firm()
SEARCH = ExactSearch(FIRM.vectors)
LEARNT = make_behaviour(FIRM)
CONFIG = load_ranking_config()
STILL = replace(CONFIG, rerank=replace(CONFIG.rerank, explore_share=0.0))
TOPIC_0 = [one.asset_id for one in FIRM.cards if one.topics == ("topic0",)]
DECISION = np.array([0.0, 0.0, 0.1, 0.2, 0.7, 0.0, 0.0])


def ask(
    request: RankRequest,
    config: RankingConfig = STILL,
    catalogue: Catalogue = FIRM,
    behaviour: Behaviour = LEARNT,
) -> RankedAnswer:
    return recommend_block(catalogue, ExactSearch(catalogue.vectors), behaviour, config, [request], NOW)[0]


def ids(answer: RankedAnswer) -> list[str]:
    return [item.asset_id for item in answer.items]


def varied_requests(n: int) -> list[RankRequest]:
    rng = np.random.default_rng(5)
    mask = parse_filter({"must": [{"field": "language", "any_of": ["en"]}]}).mask(FIRM)
    rules = PlacementRules(boost=((Filter(must=(AnyOf("type", ("case_study",)),)), 0.3),), most_of_type=3)
    requests = []
    for i in range(n):
        engaged = [f"a{r}" for r in rng.choice(300, size=int(rng.integers(0, 40)), replace=False)]
        requests.append(
            RankRequest(
                profile=make_profile(engaged, shown={"a1": 3, f"a{i}": 2} if i % 3 == 0 else None),
                stage=rng.dirichlet(np.ones(7)) if i % 2 else None,
                account_profile=make_profile(["a2", "a3"]) if i % 4 == 0 else None,
                context_asset_id=f"a{i}" if i % 5 == 0 else None,
                query_vector=FIRM.vectors[i] if i % 7 == 0 else None,
                goal=("advance", "nurture", "reactivate")[i % 3],
                count=1 + i % 9,
                filter_mask=mask if i % 6 == 0 else None,
                persona="cio" if i % 2 else None,
                industry="retail",
                language="de" if i % 8 == 0 else None,
                rules=rules if i % 5 == 1 else PlacementRules(),
                seed=i,
                personalise=i % 11 != 10,
            )
        )
    return requests


@pytest.mark.slow
def test_a_batch_gives_exactly_the_single_answers() -> None:
    requests = varied_requests(70)
    config = replace(
        curved(CONFIG), candidates=replace(CONFIG.candidates, width=64, recent=9, popular=7, fresh=9)
    )
    together = recommend_block(FIRM, SEARCH, LEARNT, config, requests, NOW)
    alone = [recommend_block(FIRM, SEARCH, LEARNT, config, [r], NOW)[0] for r in requests]
    assert together == alone  # dataclasses of floats: equal means equal to the last bit


def curved(config: RankingConfig) -> RankingConfig:
    """With a curve for every third term and one for unproven assets for every fifth."""
    rng = np.random.default_rng(3)
    shape = [Curve((0.0, 0.4, 1.0), tuple(rng.random(3).tolist())) for _ in TERMS]
    return replace(
        config,
        weights=tuple(1.0 if i % 3 == 0 else w for i, w in enumerate(config.weights)),
        curves={t: shape[i] for i, t in enumerate(TERMS) if i % 3 == 0},
        unproven_curves={t: shape[i] for i, t in enumerate(TERMS) if i % 5 == 0},
    )


@pytest.mark.parametrize("width", [30, 300])
def test_weighing_a_block_at_once_gives_what_the_obvious_way_gives(width: int) -> None:
    config = curved(STILL)
    requests = varied_requests(12)
    scene = set_scene(FIRM, LEARNT, config, NOW)
    inputs = [p.inputs for p in prepare_all(scene, requests)]
    rows = np.random.default_rng(8).integers(0, len(FIRM), size=(len(requests), width))
    goals = [r.goal for r in requests]
    shared = (FIRM, scene.space, scene.tags, LEARNT, config, inputs)
    slow = contributions(score_terms(*shared, rows, NOW), config, goals)
    np.testing.assert_array_equal(score_parts(*shared, goals, rows, NOW), slow)
    # A block larger than the catalogue weighs each asset once, a smaller one each candidate: the same bits.
    alone = score_parts(*shared[:-1], inputs[:1], goals[:1], rows[:1], NOW)
    np.testing.assert_array_equal(alone[:, 0], slow[:, 0])


@pytest.mark.parametrize("config", [CONFIG, STILL])
def test_terms_add_up_to_the_score_and_scores_keep_the_order(config: RankingConfig) -> None:
    for answer in recommend_block(FIRM, SEARCH, LEARNT, config, varied_requests(40), NOW):
        for item in answer.items:
            assert sum(item.terms.values()) == item.score
        settled = [item for item in answer.items if item.propensity >= 0.9]
        assert all(a.score >= b.score for a, b in pairwise(settled))
        assert [item.rank for item in answer.items] == list(range(1, len(answer.items) + 1))


def test_a_reader_of_one_topic_gets_that_topic_and_nothing_seen() -> None:
    seen = TOPIC_0[:6]
    answer = ask(RankRequest(profile=make_profile(seen), count=5))
    assert answer.tier == "personal"
    assert set(ids(answer)) <= set(TOPIC_0) - set(seen)
    assert any(code in {"interest", "engaged_together"} for code, _ in answer.items[0].reasons)


def test_the_reason_names_what_was_read_and_when() -> None:
    config = replace(STILL, weights=tuple(1.0 if i == 1 else 0.0 for i in range(len(STILL.weights))))
    answer = ask(RankRequest(profile=make_profile([TOPIC_0[0]], [10.0])), config)
    code, text = answer.items[0].reasons[0]
    assert code == "interest"
    assert text.startswith("Because they ")
    assert f"“Title of {TOPIC_0[0]}” on 4 November" in text


def test_tiers_from_a_known_buyer_down_to_nothing_at_all() -> None:
    account = make_profile(TOPIC_0[:4])
    assert ask(RankRequest(account_profile=account, stage=DECISION)).tier == "account"
    assert ask(RankRequest(stage=DECISION)).tier == "stage"
    assert ask(RankRequest()).tier == "popular"
    static = ask(RankRequest(), behaviour=empty_behaviour(CONFIG))
    assert static.tier == "static"
    assert len(static.items) == 5


def test_the_decision_stage_gets_decision_content() -> None:
    answer = ask(RankRequest(stage=DECISION, count=10), behaviour=empty_behaviour(CONFIG))
    best = [int(FIRM.stage[FIRM.row_of[a]].argmax()) for a in ids(answer)]
    assert sum(stage >= 2 for stage in best) >= 8


def test_without_consent_the_profile_changes_nothing() -> None:
    profile, stage = make_profile(TOPIC_0[:6]), DECISION
    known = RankRequest(profile=profile, stage=stage, persona="cio", personalise=False)
    assert ask(known) == ask(RankRequest(personalise=False))
    assert ask(known).tier == "popular"


def firm_of_two(first: str, second: str, vectors: np.ndarray, ages: tuple[float, float]) -> Catalogue:
    """One asset of awareness and one of the customer's stage."""
    stage = np.array([[0.85, 0.1, 0.03, 0.02], [0.02, 0.05, 0.13, 0.8]])
    cards = [card("first", type=first), card("second", type=second)]
    return make_catalogue(cards, vectors, published_at=NOW - DAY * np.array(ages), stage=stage)


def test_a_stranger_meets_the_firm_by_a_first_read_and_not_by_the_newest_release_notes() -> None:
    firm = firm_of_two("blog", "release_notes", np.zeros((2, 8)), (60.0, 1.0))
    for request in (RankRequest(), RankRequest(stage=DECISION, personalise=False)):
        answer = ask(request, catalogue=firm)
        assert ids(answer) == ["first", "second"]
        assert answer.items[0].reasons[0][0] == "introduction"


def test_what_is_asked_for_outweighs_the_stage() -> None:
    vectors = np.eye(2, 8)
    firm = firm_of_two("blog", "how_to", vectors, (60.0, 60.0))
    aware = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    assert ids(ask(RankRequest(stage=aware), catalogue=firm))[0] == "first"
    asked = RankRequest(stage=aware, query_vector=vectors[1].astype(np.float32))
    assert ids(ask(asked, catalogue=firm))[0] == "second"


def test_prices_and_tools_come_back_after_a_while_and_articles_do_not() -> None:
    tool = card("tool", type="roi_tool")
    read = card("read", type="case_study")
    firm = make_catalogue([tool, read, card("new")], np.eye(3, 8))
    settings = CONFIG.again
    assert "roi_tool" in settings.types
    assert "case_study" not in settings.types

    def shown(days: float, config: RankingConfig = STILL) -> RankedAnswer:
        profile = replace(make_profile(["tool", "read"]), last_at=np.full(2, NOW - days * DAY))
        request = RankRequest(profile=profile)
        return recommend_block(firm, ExactSearch(firm.vectors), LEARNT, config, [request], NOW)[0]

    assert ids(shown(settings.after_days - 1)) == ["new"]
    late = shown(settings.after_days + 1)
    assert sorted(ids(late)) == ["new", "tool"]
    back = next(item for item in late.items if item.asset_id == "tool")
    assert back.terms["fatigue"] == -settings.penalty
    assert back.reasons[0][0] == "again"
    assert math.fsum(back.terms.values()) == pytest.approx(back.score)
    assert ids(shown(400.0, replace(STILL, again=AgainSettings()))) == ["new"]


def test_a_language_that_a_buyer_does_not_read_gives_way_to_theirs() -> None:
    cards = [card("german", language="de"), card("english", language="en"), card("unsaid", language=None)]
    cards += [card(f"read{i}", language="de" if i else "en") for i in range(4)]
    firm = make_catalogue(cards, np.zeros((len(cards), 8)))

    def terms(language: str | None, *read: str) -> dict[str, float]:
        answer = ask(RankRequest(profile=make_profile(list(read)), language=language), catalogue=firm)
        for item in answer.items:
            assert math.fsum(item.terms.values()) == pytest.approx(item.score)
        return {item.asset_id: item.terms["other_language"] for item in answer.items}

    loss = -CONFIG.other_language.penalty
    assert loss < 0
    stated = terms("en", "read0")
    assert [stated[asset] for asset in ("german", "english", "unsaid")] == [loss, 0.0, 0.0]
    assert terms("en", "read0", "read1")["german"] == 0.0, "who reads it is shown it, whatever the form said"
    assert terms(None, "read0")["german"] == 0.0, "what somebody has not read yet they may read"
    strict = replace(STILL, other_language=replace(STILL.other_language, penalty=50.0))
    answer = ask(RankRequest(language="en", count=len(cards)), config=strict, catalogue=firm)
    german = {card.asset_id for card in firm.cards if card.language == "de"}
    assert set(ids(answer)[-len(german) :]) == german


def test_what_does_not_age_gains_little_by_being_new() -> None:
    kinds = ("blog", "case_study", "blog", "case_study")
    cards = [card(f"{kind}{i}", type=kind) for i, kind in enumerate(kinds)]
    ages = np.array([0.5, 0.5, 300.0, 300.0])
    firm = make_catalogue(cards, np.zeros((4, 8)), published_at=NOW - DAY * ages)
    fresh = [TERMS.index(t) for t in ("fresh_day", "fresh_month", "newness")]

    def gain(new: str, old: str) -> float:
        parts = {}
        for asset in (new, old):
            parts[asset] = explain(firm, ExactSearch(firm.vectors), LEARNT, STILL, RankRequest(), asset, NOW)
        return sum(parts[new].terms[TERMS[t]] - parts[old].terms[TERMS[t]] for t in fresh)

    assert gain("case_study1", "case_study3") == pytest.approx(
        CONFIG.lasting.share * gain("blog0", "blog2"), rel=1e-6
    )
    assert gain("case_study1", "case_study3") > 0


def test_equivalent_forms_of_what_was_seen_are_suppressed() -> None:
    group = np.arange(300)
    other = TOPIC_0[1]
    group[FIRM.row_of[other]] = FIRM.row_of[TOPIC_0[0]]
    catalogue = replace(FIRM, group=group.astype(np.int32))
    request = RankRequest(profile=make_profile([TOPIC_0[0]]), count=50)
    assert other not in ids(ask(request, catalogue=catalogue))
    why = explain(catalogue, SEARCH, LEARNT, STILL, request, other, NOW)
    assert [code for code, _ in why.exclusions] == ["equivalent_seen"]
    assert why.rank is None
    assert why.would_rank is not None


def test_an_answer_holds_one_form_of_the_same_content() -> None:
    group = np.zeros(300, dtype=np.int32)
    assert len(ask(RankRequest(), catalogue=replace(FIRM, group=group)).items) == 1


def test_what_was_shown_often_and_never_followed_loses_and_is_then_capped() -> None:
    weary = replace(STILL, fatigue=replace(STILL.fatigue, penalty=2.0))
    first = ids(ask(RankRequest()))[0]
    tired = ask(RankRequest(profile=make_profile([], shown={first: 5})), weary)
    fresh = ask(RankRequest(), weary)
    assert explain(FIRM, SEARCH, LEARNT, STILL, RankRequest(), first, NOW).terms["fatigue"] == 0.0
    request = RankRequest(profile=make_profile([], shown={first: 5}))
    assert explain(FIRM, SEARCH, LEARNT, STILL, request, first, NOW).terms["fatigue"] < -0.2
    assert ids(tired) != ids(fresh)
    capped = RankRequest(profile=make_profile([], shown={first: 50}), count=50)
    assert first not in ids(ask(capped))


def test_rules_pin_boost_bury_and_exclude() -> None:
    base = ids(ask(RankRequest(count=10)))
    last = next(f"a{i}" for i in range(300) if f"a{i}" not in base)
    pinned = ask(RankRequest(rules=PlacementRules(pin=(last, "no-such-asset"))))
    assert ids(pinned)[0] == last
    assert pinned.items[0].reasons[0][0] == "pinned"
    assert pinned.items[0].score > pinned.items[1].score
    webinars = Filter(must=(AnyOf("type", ("webinar_product",)),))
    boosted = ask(RankRequest(rules=PlacementRules(boost=((webinars, 5.0),))))
    assert {FIRM.cards[FIRM.row_of[a]].type for a in ids(boosted)} == {"webinar_product"}
    buried = ask(RankRequest(rules=PlacementRules(bury=((webinars, 5.0),)), count=20))
    assert "webinar_product" not in {FIRM.cards[FIRM.row_of[a]].type for a in ids(buried)}
    few = ask(RankRequest(rules=PlacementRules(most_of_type=1), count=9))
    assert len(few.items) == 5  # five types
    assert [code for code, _ in few.warnings] == ["fewer_than_asked"]


def test_a_rule_that_excludes_everything_gives_nothing_and_a_warning() -> None:
    answer = ask(RankRequest(rules=PlacementRules(exclude=Filter())))
    assert answer.items == ()
    assert [code for code, _ in answer.warnings] == ["fewer_than_asked"]


def test_a_filter_holds_before_the_top_k_is_taken() -> None:
    mask = np.zeros(300, dtype=np.bool_)
    mask[[7, 11]] = True
    answer = ask(RankRequest(profile=make_profile(TOPIC_0[:3]), filter_mask=mask, count=3))
    assert set(ids(answer)) == {"a7", "a11"}


def test_expired_drafts_and_future_assets_are_never_shown() -> None:
    approved = np.ones(300, dtype=np.bool_)
    approved[:100] = False
    expires = np.full(300, np.inf)
    expires[100:200] = NOW
    publish = np.where(np.arange(300) < 290, NOW - DAY, NOW + 1)
    catalogue = replace(FIRM, approved=approved, expires_at=expires, publish_at=publish)
    got = {FIRM.row_of[a] for a in ids(ask(RankRequest(count=50), catalogue=catalogue))}
    assert got <= set(range(200, 290))
    assert len(got) == 50


def test_the_page_they_are_on_is_not_recommended_and_its_neighbours_are() -> None:
    page = TOPIC_0[3]
    answer = ask(RankRequest(context_asset_id=page, personalise=False))
    assert page not in ids(answer)
    assert sum(a in TOPIC_0 for a in ids(answer)) >= 4
    unknown = ask(RankRequest(context_asset_id="gone"))
    assert [code for code, _ in unknown.warnings] == ["context_unknown"]


def test_an_empty_catalogue_answers_with_nothing() -> None:
    empty = make_catalogue([], np.empty((0, 8)))
    answer = ask(RankRequest(), catalogue=empty, behaviour=empty_behaviour(CONFIG))
    assert answer.items == ()


def test_assets_without_vectors_can_still_be_recommended() -> None:
    catalogue = make_catalogue([card(f"b{i}") for i in range(8)], np.zeros((8, 16)))
    answer = ask(RankRequest(profile=make_profile(["b0"])), catalogue=catalogue)
    assert len(answer.items) == 5


def test_explain_agrees_with_the_answer() -> None:
    request = RankRequest(profile=make_profile(TOPIC_0[:6]), stage=DECISION, seed=3)
    for item in ask(request).items:
        why = explain(FIRM, SEARCH, LEARNT, STILL, request, item.asset_id, NOW)
        assert (why.rank, why.score, why.terms, why.reasons) == (
            item.rank,
            item.score,
            item.terms,
            item.reasons,
        )
        assert why.exclusions == ()
    assert explain(FIRM, SEARCH, LEARNT, STILL, request, "gone", NOW).exclusions[0][0] == "unknown"
    seen = explain(FIRM, SEARCH, LEARNT, STILL, request, TOPIC_0[0], NOW)
    assert seen.exclusions[0][0] == "seen"
    assert seen.score is not None
    assert sum(seen.terms.values()) == seen.score


@pytest.mark.slow
def test_candidate_sources_find_what_ranking_over_everything_finds() -> None:
    narrow = replace(STILL, candidates=replace(STILL.candidates, width=100))
    wide = replace(STILL, candidates=replace(STILL.candidates, width=300))
    requests = [replace(r, count=10) for r in varied_requests(40)]
    few = recommend_block(FIRM, SEARCH, LEARNT, narrow, requests, NOW)
    every = recommend_block(FIRM, SEARCH, LEARNT, wide, requests, NOW)
    kept = [len(set(ids(a)) & set(ids(b))) / max(1, len(b.items)) for a, b in zip(few, every, strict=True)]
    assert np.mean(kept) > 0.9


@pytest.mark.slow
def test_exploration_states_its_exact_propensity() -> None:
    config = replace(CONFIG, rerank=replace(CONFIG.rerank, explore_share=0.4))
    n = 4_000
    answers = recommend_block(
        FIRM, SEARCH, LEARNT, config, [RankRequest(count=4, seed=s) for s in range(n)], NOW
    )
    assert len({tuple(ids(a)[:3]) for a in answers}) == 1
    shown: dict[str, int] = {}
    claimed: dict[str, float] = {}
    for answer in answers:
        last = answer.items[-1]
        shown[last.asset_id] = shown.get(last.asset_id, 0) + 1
        claimed[last.asset_id] = last.propensity
    assert len(shown) > 5
    assert sum(claimed.values()) == pytest.approx(1.0)
    for asset_id, chance in claimed.items():
        spread = math.sqrt(chance * (1 - chance) / n)
        assert abs(shown[asset_id] / n - chance) < 5 * spread


def test_an_unknown_goal_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown goal"):
        ask(RankRequest(goal="sell"))
