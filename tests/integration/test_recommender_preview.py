"""A draft scored before it is published, on a real PostgreSQL: nothing stored, the ranking as served."""

from __future__ import annotations

from typing import Any

import pytest

from contract.assets import AssetPreview
from recommender.service import previewing
from recommender_rig import Rig, SwitchableEmbedder, code

TEXT = "Cold chain monitoring keeps pharmaceutical pallets within their limits from dock to door."
DRAFT = {"title": "Cold chain monitoring", "url": "https://firm.example/draft", "body": TEXT}


def preview(rig: Rig, **changes: Any) -> dict[str, Any]:
    answer = rig.client.post("/v1/assets:preview", json=DRAFT | changes)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    AssetPreview.model_validate(answer.json)
    return answer.json


def stored(rig: Rig) -> list[tuple[Any, ...]]:
    counts = ("assets", "embeddings", "signals", "buyers")
    rows = [rig.rows(f"SELECT count(*) FROM recommender.{name}")[0] for name in counts]
    return [*rows, rig.rows("SELECT revision FROM recommender.catalogue_head")[0]]


def read(rig: Rig, buyer: str, asset_id: str, **more: Any) -> None:
    event = {"type": "track", "event": "Content Viewed", "messageId": f"{buyer}{asset_id}", "userId": buyer}
    rig.send({**event, "properties": {"asset_id": asset_id}, **more})


def fold(rig: Rig) -> None:
    while rig.parts["folder"].fold_stale():
        pass


def test_a_draft_is_scored_and_nothing_is_stored(recommender: Rig, embedder: SwitchableEmbedder) -> None:
    recommender.put("other", title="Something else entirely", body="Payroll software for bakeries.")
    before = stored(recommender)
    embedder.texts.clear()
    found = preview(recommender, title="Product webinar: cold chain")
    assert found["id"] is None
    assert (found["type"], found["type_source"]) == ("webinar_product", "guessed")
    assert (found["language"], found["language_source"]) == ("en", "detected")
    assert found["stage_estimate"]["source"] == "model"
    assert sum(found["stage_estimate"]["distribution"].values()) == pytest.approx(1, abs=1e-3)
    assert found["near_duplicates"] == []
    assert found["audience"]["sampled_of"] == 0
    assert stored(recommender) == before
    assert len(embedder.texts) == 2  # head and passage, in one call
    assert "draft" not in str(recommender.recommend())


def test_what_the_editor_says_wins(recommender: Rig) -> None:
    found = preview(recommender, type="pricing", language="de", stages={"decision": 1})
    assert (found["type_source"], found["language"], found["language_source"]) == ("editor", "de", "editor")
    assert found["stage_estimate"]["source"] == "editor"
    assert max(found["stage_estimate"]["distribution"].items(), key=lambda one: one[1])[0] == "decision"


def test_the_stage_is_the_one_it_will_have_once_stored(recommender: Rig) -> None:
    recommender.put("first", title="Anything")
    guessed = preview(recommender)["stage_estimate"]
    stored_asset = recommender.client.put("/v1/assets/draft", json=DRAFT).json
    assert stored_asset is not None
    assert stored_asset["stage_estimate"] == guessed


def test_near_duplicates_are_pointed_out_and_others_are_not(recommender: Rig) -> None:
    recommender.put("copy", title=DRAFT["title"], body=TEXT + " Now revised.", status="draft")
    recommender.put("same-page", title="Bakeries", body="Payroll for bakeries.", url=DRAFT["url"] + "/")
    recommender.put("other", title="Payroll software", body="Bakeries and their payroll, month by month.")
    found = preview(recommender)["near_duplicates"]
    assert [one["id"] for one in found] == ["copy", "same-page"]
    assert found[0]["similarity"] >= previewing.NEAR_DUPLICATE > found[1]["similarity"]
    assert [one["same_url"] for one in found] == [False, True]
    assert found[0]["url"] == "https://firm.example/copy"
    # Previewing a change to an asset, it is no duplicate of itself.
    assert [one["id"] for one in preview(recommender, id="copy")["near_duplicates"]] == ["same-page"]


def test_the_audience_are_those_to_whom_it_would_be_shown(recommender: Rig) -> None:
    for n in range(4):
        recommender.put(f"cold-{n}", title=f"Cold chain pallets {n}", body=f"{TEXT} Part {n}.")
    for n in range(8):
        recommender.put(f"pay-{n}", title=f"Bakery payroll {n}", body=f"Payroll for bakeries, part {n}.")
    for buyer in range(3):
        for n in range(2):
            read(recommender, f"cold-buyer-{buyer}", f"cold-{n}", context={"groupId": f"acme-{buyer % 2}"})
            read(recommender, f"pay-buyer-{buyer}", f"pay-{n}", context={"groupId": "bakery"})
    fold(recommender)
    found = preview(recommender)["audience"]
    assert (found["sampled"], found["sampled_of"], found["places"]) == (6, 6, 5)
    assert sum(one["buyers"] for one in found["by_stage"].values()) == found["buyers"]
    recommender.client.put("/v1/assets/draft", json=DRAFT)
    shown = [
        buyer
        for kind in ("cold", "pay")
        for buyer in (f"{kind}-buyer-{n}" for n in range(3))
        if "draft" in recommender.shown(user_id=buyer, count=5)
    ]
    assert 0 < found["buyers"] < 6
    assert found["buyers"] == len(shown)
    assert found["accounts"] == len({f"acme-{int(b[-1]) % 2}" if b[0] == "c" else "bakery" for b in shown})


def test_only_so_many_buyers_are_looked_at(recommender: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previewing, "MOST_BUYERS", 3)
    recommender.put("a")
    for n in range(5):
        read(recommender, f"u{n}", "a", timestamp=f"2026-05-0{n + 1}T00:00:00Z")
    fold(recommender)
    found = preview(recommender)["audience"]
    assert (found["sampled"], found["sampled_of"]) == (3, 5)
    monkeypatch.setattr(previewing, "MOST_BUYERS", 100)
    monkeypatch.setattr(previewing, "_BLOCK", 2)
    monkeypatch.setattr(previewing, "_AUDIENCE_SECONDS", -1.0)
    assert preview(recommender)["audience"]["sampled"] == 2


def test_bad_drafts_and_an_embedder_that_is_away_are_told(
    recommender: Rig, embedder: SwitchableEmbedder
) -> None:
    def ask(body: Any) -> tuple[int, str | None]:
        return code(recommender.client.post("/v1/assets:preview", json=body))

    assert ask({"title": "x"}) == (422, "fields_invalid")
    assert ask(DRAFT | {"titel": "x"}) == (422, "fields_invalid")
    assert ask([]) == (400, "json_not_an_object")
    assert ask(DRAFT | {"id": "a", "equivalent_to": "a"}) == (422, "equivalence_invalid")
    embedder.refused = "pallets"
    assert ask(DRAFT) == (422, "embedding_refused")
    embedder.refused, embedder.away = None, True
    answer = recommender.client.post("/v1/assets:preview", json=DRAFT)
    assert code(answer) == (503, "embedder_away")
    assert int(answer.headers["Retry-After"]) >= 1


def test_another_model_is_not_compared_with_the_one_that_serves(
    recommender: Rig, embedder: SwitchableEmbedder
) -> None:
    recommender.put("copy", title=DRAFT["title"], body=TEXT)
    embedder.model = "hashing-256"
    found = preview(recommender)
    assert found["near_duplicates"] == []
    assert [one["code"] for one in found["warnings"]] == ["model_changing"]
