"""The catalogue over HTTP on a real PostgreSQL: ids, times, preconditions, texts, and what is then shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from recommender_rig import NOON, Rig, RigMaker, SwitchableEmbedder, code

ODD_IDS = [
    "a/b/c",
    "/leading",
    "trailing/",
    "a//b",
    "grüße-日本-🚀",
    "100%25",
    "50%",
    "with space",
    "a:export",
    "a:erase",
    "a?b#c&d=e",
    "x" * 200,
    "語" * 200,
    '"quoted\\"',
    "...",
]


@pytest.mark.parametrize("asset_id", ODD_IDS)
def test_an_id_of_any_printable_text_is_stored_read_and_deleted(recommender: Rig, asset_id: str) -> None:
    put = recommender.put(asset_id)
    assert put.status_code == 201, put.text
    assert recommender.get(asset_id).json["id"] == asset_id  # type: ignore[index]
    assert asset_id in recommender.shown()
    assert recommender.client.delete(recommender.path(asset_id)).status_code == 204
    assert code(recommender.get(asset_id)) == (404, "asset_not_found")


@pytest.mark.parametrize("asset_id", ["x" * 201, "a\nb", "a\x00b", "tab\t", "\u200bzero", ".", "..", "\x7f"])
def test_an_id_that_is_none_is_refused(recommender: Rig, asset_id: str) -> None:
    # "." and ".." would be folded away by a client, so they are sent as a proxy might pass them on.
    assert code(recommender.put(asset_id, title="T", url="https://firm.example")) == (422, "id_invalid")
    assert code(recommender.get(asset_id)) == (422, "id_invalid")


def test_put_get_patch_delete(recommender: Rig, clock: Any) -> None:
    created = recommender.put(
        "a", topics=["Cold chain", "Cold chain", "GDP"], metadata={"crm": [1, {"x": None}]}
    )
    assert created.status_code == 201
    first = created.json
    assert first is not None
    assert first["topics"] == ["Cold chain", "GDP"]
    assert first["metadata"] == {"crm": [1, {"x": None}]}
    assert first["created_at"] == "2026-06-01T12:00:00Z"
    assert first["embedding"] == {"model": "hashing-384@1", "state": "ready"}
    assert sum(first["stage_estimate"]["distribution"].values()) == pytest.approx(1, abs=1e-3)
    clock.advance(hours=1)
    changed = recommender.client.patch("/v1/assets/a", json={"title": "New", "topics": None})
    assert changed.status_code == 200
    assert changed.json is not None
    assert changed.json["title"] == "New"
    assert changed.json["topics"] == []
    assert changed.json["metadata"] == first["metadata"]
    assert changed.json["created_at"] == first["created_at"]
    assert changed.json["updated_at"] == "2026-06-01T13:00:00Z"
    assert changed.json["revision"] > first["revision"]
    assert code(recommender.client.patch("/v1/assets/a", json={"title": None})) == (422, "fields_invalid")
    assert code(recommender.client.patch("/v1/assets/nobody", json={"title": "x"})) == (
        404,
        "asset_not_found",
    )
    assert recommender.client.delete("/v1/assets/a").status_code == 204
    assert code(recommender.client.delete("/v1/assets/a")) == (404, "asset_not_found")
    again = recommender.put("a")
    assert again.status_code == 201
    assert again.json is not None
    assert again.json["created_at"] == "2026-06-01T13:00:00Z"
    assert again.json["topics"] == []


def test_the_way_of_every_edit_into_the_index_is_measured(recommender: Rig) -> None:
    """Also of one whose embedding came with it, which moves the asset's change number once more."""
    registry = recommender.app.extensions["metrics"].registry

    def measured() -> float:
        found = registry.get_sample_value("foreword_recommender_index_lag_seconds_count")
        assert found is not None
        return float(found)

    assert recommender.put("first").status_code == 201  # with it the model is known, and the index built anew
    edits = (
        lambda: recommender.put("new"),
        lambda: recommender.put("new", title="Another text"),
        lambda: recommender.put("new", title="Another text", topics=["GDP"]),
        lambda: recommender.client.delete(recommender.path("new")),
    )
    for edit in edits:
        before = measured()
        assert edit().status_code in (200, 201, 204)
        assert measured() == before + 1


def test_numbers_of_any_size_come_back(recommender: Rig) -> None:
    numbers = [1e300, -3.276855436303603e206, 5e-324, 2**64 - 1, -(2**63), float(2**70), 0.1]
    answer = recommender.put("numbers", metadata={"of": {"any": numbers}})
    assert answer.status_code == 201
    for found in (
        answer.json,
        recommender.client.get(recommender.path("numbers")).json,
        recommender.client.get("/v1/assets").json["assets"][0],
    ):
        assert found["metadata"] == {"of": {"any": numbers}}


def test_preconditions(recommender: Rig) -> None:
    etag = recommender.put("a").headers["ETag"]
    assert etag.startswith('"')
    read = recommender.client.get("/v1/assets/a", headers={"If-None-Match": etag})
    assert (read.status_code, read.data) == (304, b"")
    assert recommender.client.get("/v1/assets/a", headers={"If-None-Match": '"0.ready"'}).status_code == 200
    assert recommender.put("a", title="Second", headers={"If-Match": etag}).status_code == 200
    stale = {"If-Match": etag}
    assert code(recommender.put("a", title="Third", headers=stale)) == (412, "revision_mismatch")
    patched = recommender.client.patch("/v1/assets/a", json={"title": "Third"}, headers=stale)
    assert code(patched) == (412, "revision_mismatch")
    assert code(recommender.client.delete("/v1/assets/a", headers=stale)) == (412, "revision_mismatch")
    assert recommender.get("a").json["title"] == "Second"  # type: ignore[index]
    assert code(recommender.put("a", headers={"If-None-Match": "*"})) == (412, "revision_mismatch")
    assert recommender.put("b", headers={"If-None-Match": "*"}).status_code == 201
    assert code(recommender.put("c", headers={"If-Match": etag})) == (412, "revision_mismatch")
    assert code(recommender.put("c", headers={"If-Match": "*"})) == (412, "revision_mismatch")
    assert recommender.put("a", headers={"If-Match": "*"}).status_code == 200
    for unreadable in ("nonsense", "", " "):
        assert code(recommender.put("a", headers={"If-Match": unreadable})) == (400, "etag_invalid")


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"titel": "x"}, "/titel"),
    ({"title": ...}, "/title"),
    ({"title": ""}, "/title"),
    ({"title": 5}, "/title"),
    ({"url": ...}, "/url"),
    ({"url": "javascript:alert(1)"}, "/url"),
    ({"url": "ftp://x.example"}, "/url"),
    ({"topics": "one"}, "/topics"),
    ({"topics": [1]}, "/topics/0"),
    ({"topics": [str(n) for n in range(51)]}, "/topics"),
    ({"status": "live"}, "/status"),
    ({"stages": {"bought": 1}}, "/stages/bought"),
    ({"stages": {"decision": -1}}, "/stages/decision"),
    ({"stages": {"decision": 0}}, "/stages"),
    ({"publish_at": "yesterday"}, "/publish_at"),
    ({"publish_at": "2026-01-01T00:00:00"}, "/publish_at"),
    ({"publish_at": "0001-01-01T00:00:00+14:00"}, "/publish_at"),
    ({"publish_at": "9999-12-31T23:59:59-14:00"}, "/publish_at"),
    ({"publish_at": "2026-02-30T00:00:00Z"}, "/publish_at"),
    ({"publish_at": "2026-01-02T00:00:00Z", "expires_at": "2026-01-01T00:00:00Z"}, ""),
    ({"title": "a\x00b"}, "/title"),
    ({"body": "a\x00b"}, "/body"),
    ({"topics": ["a\x00b"]}, "/topics/0"),
    ({"metadata": {"a": "b\x00"}}, "/metadata"),
    ({"metadata": {"a\x00": 1}}, "/metadata"),
    ({"language": "english"}, "/language"),
    ({"equivalent_to": ""}, "/equivalent_to"),
]


@pytest.mark.parametrize(("changes", "pointer"), MISTAKES)
def test_what_makes_no_sense_is_refused_by_name(
    recommender: Rig, changes: dict[str, Any], pointer: str
) -> None:
    answer = recommender.put("a", **changes)
    assert answer.status_code == 422, answer.text
    assert answer.json is not None
    assert pointer in {field["pointer"] for field in answer.json["errors"]}
    assert code(recommender.get("a")) == (404, "asset_not_found")


def test_deep_metadata_is_refused(recommender: Rig) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    assert code(recommender.put("a", metadata=deep))[0] == 422
    assert code(recommender.put("a", metadata={"ok": [[[{}]]]}))[0] == 201
    assert code(recommender.client.patch("/v1/assets/a", json={"metadata": deep}))[0] == 422


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "body_empty"),
        (b"   ", "body_empty"),
        (b"{", "json_malformed"),
        (b"[]", "json_not_an_object"),
        (b"null", "json_not_an_object"),
        (b'{"title": "\\ud800", "url": "https://x.example"}', "json_malformed"),
        (b'{"title": "\xff"}', "json_malformed"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(recommender: Rig, body: bytes, expected: str) -> None:
    for method in ("put", "patch"):
        assert code(getattr(recommender.client, method)("/v1/assets/a", data=body)) == (400, expected)


@pytest.mark.parametrize(
    ("stated", "stored"),
    [
        ("2026-01-01T00:00:00+05:45", "2025-12-31T18:15:00Z"),
        ("2026-01-01T00:00:00-23:59", "2026-01-01T23:59:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_times_of_any_zone_and_year(recommender: Rig, stated: str, stored: str) -> None:
    answer = recommender.put("a", publish_at=stated)
    assert answer.status_code == 201, answer.text
    assert answer.json["publish_at"] == stored  # type: ignore[index]
    assert ("a" in recommender.shown()) == (stored < "2026-06-01T12:00:01Z")


def test_the_id_in_the_body_may_not_differ_from_the_path(recommender: Rig) -> None:
    assert code(recommender.put("a", id="b")) == (422, "id_mismatch")
    assert recommender.put("a", id="a").status_code == 201


def test_a_patch_that_makes_no_sense_with_what_is_there_is_refused(recommender: Rig) -> None:
    recommender.put("a", publish_at="2026-02-01T00:00:00Z")
    answer = recommender.client.patch("/v1/assets/a", json={"expires_at": "2026-01-01T00:00:00Z"})
    assert code(answer) == (422, "fields_invalid")


def test_equivalence_to_itself_is_refused(recommender: Rig) -> None:
    assert code(recommender.put("a", equivalent_to="a")) == (422, "equivalence_invalid")
    recommender.put("a")
    answer = recommender.client.patch("/v1/assets/a", json={"equivalent_to": "a"})
    assert code(answer) == (422, "equivalence_invalid")


def test_scripts_are_dropped_from_a_body(recommender: Rig) -> None:
    body = "<p>Keep this &amp; that</p><script>steal('x')</script><style>p{}</style><img src=x onerror=y()>"
    answer = recommender.put("a", body=body, summary="<b>Short</b> word")
    assert answer.json is not None
    assert "Keep this & that" in answer.json["body"]
    assert all(word not in answer.json["body"] for word in ("steal", "onerror", "<", "p{}"))
    assert answer.json["summary"] == "Short word"


def test_a_long_url_is_stored(recommender: Rig) -> None:
    signs = "".join(chr(0x4E00 + n * 7 % 20_000) for n in range(1900))
    url = f"https://firm.example/{signs}"
    assert recommender.put("a", url=url).status_code == 201
    recommender.send({"type": "page", "userId": "u", "messageId": "1", "properties": {"url": url + "/"}})
    assert recommender.buyer("u")["recent_signals"][0]["asset_id"] == "a"


def test_lists_are_filtered_and_paged(recommender: Rig, clock: Any) -> None:
    for n in range(7):
        recommender.put(f"a{n}", type="whitepaper" if n % 2 else "pricing", summary="50% off_er")
        if n > 2:
            clock.advance(seconds=1)  # some share a moment
    recommender.put("draft", status="draft")
    seen: list[str] = []
    token = None
    while True:
        query = {"page_size": "3", **({"page_token": token} if token else {})}
        answer = recommender.client.get("/v1/assets", query_string=query).json
        assert answer is not None
        assert answer["total"] == 8
        seen += [asset["id"] for asset in answer["assets"]]
        token = answer["next_page_token"]
        if token is None:
            break
    assert len(seen) == len(set(seen)) == 8
    assert seen[:2] == ["draft", "a6"]

    def ids(**query: str) -> set[str]:
        found = recommender.client.get("/v1/assets", query_string=query)
        assert found.status_code == 200, found.text
        assert found.json is not None
        return {asset["id"] for asset in found.json["assets"]}

    assert ids(type="whitepaper") == {"a1", "a3", "a5"}
    assert ids(status="draft") == {"draft"}
    assert len(ids(q="50% off_")) == 7
    assert ids(q="50%%") == set()
    assert ids(q="a3") == {"a3"}
    stages = [ids(stage=s) for s in ("awareness", "consideration", "decision", "customer")]
    assert set.union(*stages) == {*(f"a{n}" for n in range(7)), "draft"}
    assert sum(map(len, stages)) == 8


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=501",
        "page_size=x",
        "page_token=nonsense",
        "page_token=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjAwIiwieCJd",  # a moment before the calendar
        "page_token=WyIyMDI2LTAxLTAxVDAwOjAwOjAwKzAwOjAwIiwiXHUwMDAwIl0",  # an id with NUL
        "page_token=WzUsNl0",
        "status=live",
        "stage=bought",
        "q=%00",
        "type=%00",
    ],
)
def test_wrong_questions_to_the_list_are_told(recommender: Rig, query: str) -> None:
    assert code(recommender.client.get("/v1/assets?" + query))[0] in {400, 422}


def test_nothing_is_embedded_twice(recommender: Rig, embedder: SwitchableEmbedder) -> None:
    first = recommender.put("a", body="One. Two.")
    embedder.texts.clear()
    again = recommender.put("a", body="One. Two.")
    assert again.status_code == 200
    assert again.json is not None
    assert first.json is not None
    assert again.json["revision"] == first.json["revision"]
    assert again.headers["ETag"] == first.headers["ETag"]
    tagged = recommender.put("a", body="One. Two.", topics=["GDP"])
    assert tagged.json is not None
    assert tagged.json["revision"] > first.json["revision"]
    assert embedder.texts == []
    recommender.put("a", body="One. Two. Three.", topics=["GDP"])
    assert embedder.texts


NEVER_SHOWN: list[dict[str, Any]] = [
    {"status": "draft"},
    {"status": "archived"},
    {"expires_at": "2026-06-01T12:00:00Z"},
    {"expires_at": "2026-05-01T00:00:00Z"},
    {"publish_at": "2026-06-01T12:00:01Z"},
]


@pytest.mark.parametrize("fields", NEVER_SHOWN)
def test_what_is_not_eligible_is_never_shown(recommender: Rig, fields: dict[str, Any]) -> None:
    recommender.put("other")
    recommender.put("a", **fields)
    assert recommender.shown() == {"other"}
    found = recommender.client.get("/v1/search?q=Title").json
    assert found is not None
    assert {hit["id"] for hit in found["items"]} == {"other"}
    assert recommender.shown(user_id="u", context={"asset_id": "a"}) == {"other"}


def test_time_alone_makes_assets_come_and_go(recommender: Rig, clock: Any) -> None:
    soon = (NOON + timedelta(hours=1)).isoformat()
    recommender.put("later", publish_at=soon)
    recommender.put("ending", expires_at=soon)
    assert recommender.shown() == {"ending"}
    clock.advance(hours=1)
    assert recommender.shown() == {"later"}


def test_a_change_on_one_replica_is_served_by_the_other_at_its_next_request(
    make_recommender: RigMaker,
) -> None:
    one, other = make_recommender(), make_recommender()
    one.put("a")
    assert other.shown() == {"a"}
    assert other.recommend()["items"][0]["title"] == "Title of a"
    other.put("a", title="Changed there")
    assert one.recommend()["items"][0]["title"] == "Changed there"
    one.put("b")
    assert other.client.delete("/v1/assets/a").status_code == 204
    assert one.shown() == {"b"}
    assert one.client.patch("/v1/assets/b", json={"status": "archived"}).status_code == 200
    assert other.shown() == set()
    found = other.client.get("/v1/search?q=Title").json
    assert found is not None
    assert found["items"] == []


def test_two_pages_at_one_address_leave_the_other_when_one_goes(recommender: Rig) -> None:
    recommender.put("a", url="https://firm.example/page", topics=["A"])
    recommender.put("b", url="https://www.firm.example/page/", topics=["B"])
    recommender.client.delete("/v1/assets/b")
    parts = recommender.parts["replica"].snapshot
    assert parts.asset_at("firm.example/page") == "a"
    recommender.put("a", url="https://firm.example/moved")
    recommender.shown()
    moved = recommender.parts["replica"].snapshot
    assert moved.asset_at("firm.example/moved") == "a"
    assert moved.asset_at("firm.example/page") is None


def test_odd_ids_in_paths_do_not_reach_other_routes(recommender: Rig) -> None:
    for asset_id in ("x:import", "x:upload"):
        assert recommender.put(asset_id).status_code == 201
    path = "/v1/assets/" + quote("x:import", safe=":")
    assert recommender.client.get(path).json["id"] == "x:import"  # type: ignore[index]


@pytest.mark.parametrize("tree", ["1", '"type"', "[]", "true", '{"must": 1}', '{"field": "type"}'])
def test_a_filter_that_is_no_tree_is_refused_by_the_search(recommender: Rig, tree: str) -> None:
    recommender.put("a")
    answer = recommender.client.get("/v1/search", query_string={"q": "Title", "filter": tree})
    assert code(answer) == (400, "filter_invalid")
