"""The replay knows nothing of the future, the figures are right, and a small log evaluates end to end."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import sparse

from ranking_firm import DAY, KINDS, NOW, make_events, make_firm
from recommender.commands import group
from recommender.domain.profile import SignalColumns
from recommender.domain.ranking_config import TERMS
from recommender.domain.ranking_reader import load_ranking_config, ranking_config_from, ranking_config_table
from recommender.numeric.baselines import Baselines, ease
from recommender.numeric.behaviour import EventTable, learn_behaviour
from recommender.numeric.fold import fold_profile
from recommender.numeric.learning import TrainingCases, fit_curves, ndcg_of
from recommender.numeric.ranking_metrics import per_case, rank_of, resampling
from recommender.service import ranking_learning
from recommender.service.evaluation_data import LogUnreadable, read_log
from recommender.service.evaluation_replay import candidates, replay
from recommender.service.ranking_learning import choose_shape, part_of

CONFIG = load_ranking_config()
FIRM = make_firm(60, 16)

# Each replays a log: together they take as long as all other unit tests.
pytestmark = pytest.mark.slow


def by_time(events: EventTable) -> EventTable:
    return events.rows(np.argsort(events.at, kind="stable"))


def test_a_case_knows_everything_before_it_and_nothing_after() -> None:
    events = by_time(make_events(FIRM, buyers=20, per_buyer=6))
    start = NOW - 120 * DAY
    cases = list(replay(FIRM, events, KINDS, CONFIG, start=start, end=NOW + 1, refresh_seconds=20 * DAY))
    assert len(cases) > 20
    for case in cases[::5]:
        known = events.rows(slice(0, case.known_events))
        assert known.at.max(initial=0.0) <= case.now
        anew = learn_behaviour(known, KINDS, case.now, CONFIG)
        mine = known.buyer == case.buyer
        ids = [known.names[a] for a in known.asset[mine]]
        columns = SignalColumns(
            known.at[mine], known.kind[mine], ids, known.weight[mine], np.zeros(len(ids), dtype=np.int32)
        )
        expected = fold_profile(columns, KINDS, case.now)
        assert case.profile.asset_ids == expected.asset_ids
        assert FIRM.cards[case.row].asset_id not in expected.asset_ids
        assert case.engagements == anew.buyers[anew.index_of[FIRM.cards[case.row].asset_id]]
        grown = [case.behaviour.index_of[name] for name in anew.asset_ids]
        np.testing.assert_allclose(
            case.behaviour.popularity[grown] * np.exp2(0), anew.popularity, rtol=1e-9, atol=1e-12
        )


def test_candidates_are_published_and_not_engaged_with_and_contain_the_case() -> None:
    events = by_time(make_events(FIRM, buyers=20, per_buyer=6))
    for back in (False, True):
        run = replay(FIRM, events, KINDS, CONFIG, start=0.0, end=NOW, only_back_catalogue=back)
        for case in list(run)[::7]:
            rows = candidates(FIRM, case, back_catalogue=back)
            assert case.row in rows
            assert not set(rows) & set(case.engaged)
            assert (FIRM.publish_at[rows] <= case.now - (7 * DAY if back else 0)).all()


def test_figures_of_known_ranks() -> None:
    figures = per_case(np.array([1.0, 2.0, 10.0, 11.0, np.inf]))
    assert figures["recall_at_10"].tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_allclose(figures["ndcg_at_10"], [1, 1 / np.log2(3), 1 / np.log2(11), 0, 0])
    np.testing.assert_allclose(figures["mrr"], [1, 1 / 2, 1 / 10, 1 / 11, 0])
    assert rank_of(np.array([3.0, 1.0, 2.0]), 2) == 2
    assert rank_of(np.zeros(5), 0) == 3  # among equals the middle


def test_intervals_are_drawn_by_buyer() -> None:
    rng = np.random.default_rng(0)
    buyers = np.repeat(np.arange(40), 25)
    values = np.repeat(rng.random(40), 25)  # all cases of a buyer agree, so there are 40 facts and not 1,000
    low, high = resampling(buyers, rng).interval(values)
    naive = 1.96 * values.std() / np.sqrt(len(values))
    assert low < values.mean() < high
    assert (high - low) / 2 > 3 * naive


def test_ease_finds_pairs_and_baselines_decay() -> None:
    pairs = [(u, a) for u in range(30) for a in ((0, 1) if u % 2 else (2, 3))]
    matrix = sparse.csr_array((np.ones(60), ([u for u, _ in pairs], [a for _, a in pairs])), shape=(30, 5))
    weights = ease(matrix, 10.0)
    assert weights[0].argmax() == 1
    assert weights[2].argmax() == 3
    assert not weights[4].any()
    baselines = Baselines(["one", "two", "three"], np.eye(3, dtype=np.float32), np.array([1.0, 2.0, 3.0]))
    for _ in range(3):
        baselines.every.add(0, 0.0)
    baselines.every.add(1, 30 * DAY)
    scores = baselines.scores(np.empty(0, dtype=np.int64), 30 * DAY)
    assert scores["trending 6 h, every view"].argmax() == 1
    assert scores["trending 90 d, every view"].argmax() == 0
    assert scores["newest"].argmax() == 2


def test_learning_finds_what_the_choice_depended_on() -> None:
    rng = np.random.default_rng(4)
    n, k = 600, 30
    values = rng.random((len(TERMS), n * k)).astype(np.float32)
    hidden = 4 * values[3] + 6 * np.maximum(0, values[8] - 0.5)  # a slope, and one that begins half-way
    noisy = hidden + rng.gumbel(size=n * k)
    cases = TrainingCases(values, np.full(n, k), noisy.reshape(n, k).argmax(axis=1))
    blend = fit_curves(cases, ridge=5.0, knots=4)
    curves = blend.curves
    learnt = ndcg_of(blend.scores(values), cases).mean()
    assert learnt > 0.97 * ndcg_of(hidden, cases).mean()
    first, second = curves[TERMS[3]], curves[TERMS[8]]
    assert np.interp(1.0, first.x, first.y) - np.interp(0.0, first.x, first.y) == pytest.approx(4, abs=1)
    low, high = (
        np.interp(b, second.x, second.y) - np.interp(a, second.x, second.y) for a, b in ((0, 0.5), (0.5, 1))
    )
    assert high > 2.0 > abs(low) + 0.8


def cases_where_text_finds_the_unproven() -> TrainingCases:
    """Of proven assets the popular is chosen, of unproven ones, a tenth of the choices, what reads alike."""
    rng = np.random.default_rng(6)
    n, k = 900, 40
    values = np.zeros((len(TERMS), n * k), dtype=np.float32)
    text, popular, unproven = (TERMS.index(t) for t in ("interest_long", "popular_weeks", "unproven"))
    cold = rng.random(n * k) < 0.3
    values[text] = rng.random(n * k)
    values[unproven] = cold
    values[popular] = np.where(cold, 0.0, rng.random(n * k))
    worth = np.where(cold, 8 * values[text], 8 * values[popular]) + rng.gumbel(size=n * k)
    wants_cold = np.repeat(rng.random(n) < 0.1, k)
    worth[cold != wants_cold] -= 100.0
    return TrainingCases(values, np.full(n, k), worth.reshape(n, k).argmax(axis=1))


def test_what_holds_of_proven_assets_need_not_hold_of_new_ones() -> None:
    cases = cases_where_text_finds_the_unproven()
    one = fit_curves(cases, ridge=5.0, knots=1)
    two = fit_curves(cases, ridge=5.0, knots=1, unproven_knots=1)
    assert (
        ndcg_of(two.scores(cases.values), cases).mean()
        > 1.01 * ndcg_of(one.scores(cases.values), cases).mean()
    )
    cold = cases.cold
    assert 50 < cold.sum() < 150
    weighed = fit_curves(cases, ridge=5.0, knots=1, unproven_knots=1, cold_weight=10.0)
    of_cold = [ndcg_of(b.scores(cases.values), cases)[cold].mean() for b in (two, weighed)]
    assert of_cold[1] > 1.5 * of_cold[0]


def test_the_chosen_blend_finds_cold_assets_as_often_as_their_text_does() -> None:
    cases = cases_where_text_finds_the_unproven()
    early, late = part_of(cases, 0, 600), part_of(cases, 600, 900)
    choice = choose_shape(early, late, CONFIG)
    found = choice.report["cold_hits_of_learnt"]
    assert isinstance(found, int)
    assert found >= choice.report["cold_hits_of_text"] >= 5
    assert choice.shape.cold_weight > 1.0


def test_where_cold_assets_cost_too_much_a_blend_that_is_ahead_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking_learning, "COLD_PRICE", 100.0)
    cases = cases_where_text_finds_the_unproven()
    early, late = part_of(cases, 0, 600), part_of(cases, 600, 900)
    text = 1.0 * (np.arange(len(TERMS)) == TERMS.index("popular_weeks"))
    choice = choose_shape(early, late, replace(CONFIG, weights=tuple(text)))
    report = choice.report
    plain = report["plain_ndcg_at_10"]
    ahead = [t for t in report["tried"] if t["held_out_ndcg_at_10"] > plain]  # type: ignore[attr-defined]
    assert choice.beats_plain == bool(ahead)
    assert ahead
    assert report["cold_hits_of_learnt"] == max(t["held_out_cold_hits"] for t in ahead)
    assert report["learnt_ndcg_at_10"] > plain  # type: ignore[operator]


def test_a_learnt_configuration_survives_writing_and_reading() -> None:
    values = np.random.default_rng(1).random((len(TERMS), 500)).astype(np.float32)
    cases = TrainingCases(values, np.full(50, 10), np.zeros(50, dtype=np.int64))
    blend = fit_curves(cases, ridge=5.0, knots=3, unproven_knots=1)
    assert blend.unproven
    config = replace(CONFIG, curves=blend.curves, unproven_curves=blend.unproven)
    again = ranking_config_from(json.loads(json.dumps(ranking_config_table(config))), source="test")
    assert again == config


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_log(folder: Path) -> tuple[Path, Path]:
    events = by_time(make_events(FIRM, buyers=30, per_buyer=8))
    assets, signals = folder / "assets.ndjson.gz", folder / "signals.ndjson"
    with gzip.open(assets, "wt") as file:
        for row, card in enumerate(FIRM.cards):
            line = {"id": card.asset_id, "title": f"{card.topics[0]} {card.title}", "url": card.url}
            file.write(
                json.dumps(line | {"publish_at": stamp(FIRM.publish_at[row]), "language": "en"}) + "\n"
            )
    names = {KINDS.index(k): e for k, e in (("view", "Content Viewed"), ("click", "Recommendation Clicked"))}
    names[KINDS.index("impression")] = "Recommendation Viewed"
    call: dict[str, object] = {}
    with signals.open("w") as file:
        for i in range(len(events)):
            call = {"type": "track", "messageId": f"m{i}", "userId": f"u{events.buyer[i]}"}
            call |= {"event": names[int(events.kind[i])], "timestamp": stamp(events.at[i])}
            file.write(json.dumps(call | {"properties": {"asset_id": events.names[events.asset[i]]}}) + "\n")
        file.write(json.dumps(call | {"properties": {"asset_id": "gone"}, "messageId": "extra"}) + "\n")
        file.write(json.dumps(call) + "\n")  # a repeated message counts once
    return assets, signals


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    assets, signals = write_log(tmp_path)
    log = read_log([assets], [signals], KINDS)
    assert len(log.catalogue) == 60
    assert log.missing == 1
    assert len(log.events) == len(make_events(FIRM, buyers=30, per_buyer=8)) + 1
    (tmp_path / "broken.ndjson").write_text('{"id": "a"}\n[1]\n')
    with pytest.raises(LogUnreadable, match="line 2"):
        read_log([tmp_path / "broken.ndjson"], [signals], KINDS)


@pytest.mark.parametrize("view", ["all", "back", "random"])
def test_evaluate_writes_our_row_and_the_baselines(tmp_path: Path, view: str) -> None:
    assets, signals = write_log(tmp_path)
    out, lines = tmp_path / "out.json", tmp_path / "cases.ndjson"
    arguments = ["evaluate", "--assets", str(assets), "--signals", str(signals), "--encoder", "hashing"]
    arguments += ["--from", stamp(NOW - 40 * DAY), "--to", stamp(NOW), "--view", view]
    result = CliRunner().invoke(group, [*arguments, "--json", str(out), "--cases", str(lines)])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    assert {
        "foreword",
        "item-kNN",
        "EASE",
        "implicit ALS",
        "TF-IDF profile",
        "MiniLM profile",
        "random",
    } <= set(rows)
    ours = rows["foreword"]
    assert ours["cases"] == len(lines.read_text().splitlines()) > 10
    assert ours["ndcg_at_10"] > rows["random"]["ndcg_at_10"]
    for figure in ("recall_at_10", "ndcg_at_10", "mrr"):
        low, high = ours["ci"][figure]
        assert low <= ours[figure] <= high
    assert 0 < ours["coverage_at_10"] <= 1


def test_mistakes_on_the_command_line_are_one_sentence(tmp_path: Path) -> None:
    assets, signals = write_log(tmp_path)
    common = ["evaluate", "--assets", str(assets), "--signals", str(signals), "--encoder", "hashing"]
    for extra in ([], ["--from", "soon"], ["--from", stamp(NOW + DAY)]):
        result = CliRunner().invoke(group, [*common, *extra])
        assert result.exit_code != 0
        assert "Traceback" not in result.output
        assert "Error" in result.output


def test_learn_keeps_the_plain_blend_when_there_is_too_little(tmp_path: Path) -> None:
    assets, signals = write_log(tmp_path)
    out = tmp_path / "ranking.json"
    arguments = ["learn", "--assets", str(assets), "--signals", str(signals), "--encoder", "hashing"]
    result = CliRunner().invoke(group, [*arguments, "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert "The plain blend stays" in result.output
    assert load_ranking_config(out.read_bytes()).weights == CONFIG.weights


def test_simulate_writes_the_same_market_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        command = ["simulate", "--accounts", "12", "--seed", "5", "--out", str(tmp_path / name)]
        assert CliRunner().invoke(group, command).exit_code == 0
    for file in ("signals.ndjson.gz", "truth.ndjson.gz", "assets.ndjson.gz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
