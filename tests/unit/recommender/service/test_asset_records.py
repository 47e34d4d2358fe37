"""From what an editor sends to the record that is kept, and back."""

from __future__ import annotations

from typing import Any

import pytest

from contract.assets import AssetFields, AssetInput, AssetPatch
from recommender.domain.errors import EquivalenceInvalid
from recommender.extraction.rows import Row, RowProblem
from recommender.service.asset_records import fields_of, patched, record_of
from recommender.service.importing import read_asset_row
from recommender.service.uploading import _slug
from servicekit.errors import Unprocessable


def fields(**more: Any) -> AssetInput:
    return AssetInput.model_validate({"title": "A title", "url": "https://x.example/a", **more})


def test_what_is_left_out_is_worked_out() -> None:
    body = "Die Kühlkette reißt oft beim Wareneingang, weil niemand die Türen im Blick behält."
    record = record_of("a", fields(title="Whitepaper: Kühlkette", body=body))
    assert (record.type, record.language) == ("whitepaper", "de")
    stated = record_of("a", fields(title="Whitepaper", type="blog", language="fr", body=body))
    assert (stated.type, stated.language) == ("blog", "fr")


def test_texts_are_cleaned_only_where_they_are_html() -> None:
    plain = "If a < b and b > c, then <this> stays."
    assert record_of("a", fields(body=plain)).body == plain
    assert record_of("a", fields(body="<p>One</p><script>x()</script>")).body == "One"
    assert record_of("a", fields(summary="   ", body="<script>only()</script>")).body is None
    assert record_of("a", fields(summary="   ")).summary is None


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(EquivalenceInvalid):
        record_of("a", fields(equivalent_to="a"))
    with pytest.raises(Unprocessable, match="NUL"):
        record_of("a", fields(metadata={"k": ["\x00"]}))
    assert record_of("a", fields(metadata={"k": "C:\\u0000"})).metadata == {"k": "C:\\u0000"}


def test_a_record_and_its_fields_are_one_another() -> None:
    record = record_of(
        "a",
        fields(
            topics=["x", "x", "y"],
            stages={"decision": 2},
            metadata={"k": 1},
            publish_at="2026-01-01T00:00:00Z",
        ),
    )
    assert record.topics == ("x", "y")
    assert record_of("a", AssetFields.model_validate(fields_of(record))) == record


def test_a_patch_changes_what_it_names_and_null_empties() -> None:
    record = record_of("a", fields(summary="S", topics=["x"], status="draft", type="ebook"))
    changed = patched(record, AssetPatch.model_validate({"summary": None, "topics": ["y"], "status": None}))
    assert (changed.summary, changed.topics, changed.status, changed.type) == (
        None,
        ("y",),
        "approved",
        "ebook",
    )
    with pytest.raises(Unprocessable):
        patched(
            record_of("a", fields(publish_at="2026-02-01T00:00:00Z")),
            AssetPatch.model_validate({"expires_at": "2026-01-01T00:00:00Z"}),
        )


def test_rows_become_records_or_reasons() -> None:
    good: dict[str, object] = {"id": "a", "title": "T", "url": "https://x.example"}
    assert read_asset_row(Row(1, good)).asset_id == "a"  # type: ignore[union-attr]
    reasons = {
        "row_empty": Row(2),
        "cells_missing": Row(3, problem=RowProblem("cells_missing", "x")),
        "id_missing": Row(4, {**good, "id": None}),
        "equivalence_invalid": Row(5, {**good, "equivalent_to": "a"}),
        "fields_invalid": Row(6, {**good, "metadata": {"\x00": 1}}),
    }
    for expected, row in reasons.items():
        found = read_asset_row(row)
        assert (found.line, found.code) == (row.line, expected)  # type: ignore[union-attr]


def test_file_names_become_ids() -> None:
    assert _slug("Über uns (2026).md") == "uber-uns-2026"
    assert _slug("C:\\Dokumente\\Größe.docx") == "grosse"
    assert _slug("folder/Report #3.pdf") == "report-3"
    others = [_slug(name) for name in ("日本.md", "中国.md", ".md", "…", "x" * 300, "x" * 301)]
    assert len(set(others)) == len(others)
    assert all(0 < len(one) <= 200 and one.isprintable() for one in others)
    assert _slug("日本.md") == _slug("日本.pdf")
