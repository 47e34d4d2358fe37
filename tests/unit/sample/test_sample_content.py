"""The sample firm's assets are many, varied, whole and unlike each other."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest
from docx import Document
from sample.assets import SAMPLE_ROOT, SampleContentError, load_assets, split_front_matter
from sample.make_files import make_files
from sample.rendering.documents import render_document
from sample.rendering.papers import render_paper

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TYPES = {
    "blog", "infographic", "podcast", "ebook", "whitepaper", "webinar_thought",
    "buyers_guide", "analyst_report", "comparison", "case_study", "webinar_product", "demo_video",
    "datasheet", "security", "integration_docs", "roi_tool", "pricing", "trial", "implementation_guide",
    "onboarding", "how_to", "release_notes",
}  # fmt: skip
SOURCES = {
    fields["id"]: text for fields, text in map(split_front_matter, (SAMPLE_ROOT / "sources").glob("*.md"))
}


def text_of(asset: dict[str, Any]) -> str:
    return str(asset["body"]) if "body" in asset else SOURCES[asset["id"]]


@pytest.fixture(scope="module")
def assets() -> list[dict[str, Any]]:
    return load_assets(SAMPLE_ROOT, NOW)


def test_there_are_enough_of_each_kind(assets: list[dict[str, Any]]) -> None:
    assert len(assets) >= 84
    assert {asset["type"] for asset in assets} == TYPES
    languages = Counter(asset["language"] for asset in assets)
    assert languages["de"] >= 24
    assert set(languages) == {"de", "en"}
    forms = Counter(asset["file"].suffix if "file" in asset else "text" for asset in assets)
    assert forms == {"text": 51, ".html": 15, ".docx": 12, ".pdf": 10}


@pytest.mark.parametrize(("field", "least"), [("personas", 6), ("industries", 5), ("regions", 3)])
def test_every_value_of_a_field_has_ten_assets(assets: list[dict[str, Any]], field: str, least: int) -> None:
    counts = Counter(value for asset in assets for value in asset[field])
    assert len(counts) == least
    assert min(counts.values()) >= 10


def test_labels_name_every_asset_once_and_cover_the_stages(assets: list[dict[str, Any]]) -> None:
    with (SAMPLE_ROOT / "labels.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert sorted(row["id"] for row in rows) == sorted(asset["id"] for asset in assets)
    stages = Counter(row["stage"] for row in rows)
    assert set(stages) == {"awareness", "consideration", "decision", "customer"}
    assert min(stages.values()) >= 12


def test_editors_have_judged_the_stage_of_very_few(assets: list[dict[str, Any]]) -> None:
    assert 2 <= sum("stages" in asset for asset in assets) <= 3


def test_ids_and_addresses_are_unique(assets: list[dict[str, Any]]) -> None:
    for field in ("id", "url", "title"):
        values = [asset[field] for asset in assets]
        assert len(set(values)) == len(values), field
    assert all(asset["url"].startswith("https://www.isbryn.example/") for asset in assets)


def test_an_equivalent_is_an_asset_in_the_other_language(assets: list[dict[str, Any]]) -> None:
    languages = {asset["id"]: asset["language"] for asset in assets}
    linked = [asset for asset in assets if "equivalent_to" in asset]
    assert linked
    for asset in linked:
        assert languages[asset["equivalent_to"]] != asset["language"]


def test_no_body_is_short_and_some_are_long(assets: list[dict[str, Any]]) -> None:
    words = {asset["id"]: len(text_of(asset).split()) for asset in assets}
    exempt = {asset["id"] for asset in assets if asset["type"] in ("roi_tool", "pricing")}
    assert not {name: count for name, count in words.items() if count < 120 and name not in exempt}
    assert sum(count > 1000 for count in words.values()) >= 4


def test_no_two_bodies_share_a_paragraph(assets: list[dict[str, Any]]) -> None:
    seen: dict[str, str] = {}
    for asset in assets:
        for paragraph in re.split(r"\n\s*\n", text_of(asset)):
            bare = re.sub(r"\W+", " ", paragraph).strip().lower()
            if len(bare.split()) >= 8:
                assert bare not in seen, f"{asset['id']} and {seen.get(bare)} share: {bare[:60]}"
                seen[bare] = asset["id"]


def test_ages_count_back_from_now(assets: list[dict[str, Any]]) -> None:
    by_id = {asset["id"]: asset for asset in assets}
    assert by_id["release-notes-4-9"]["publish_at"] == "2026-10-19T00:00:00Z"
    assert by_id["analyst-report-market"]["expires_at"] == "2027-04-26T00:00:00Z"
    assert all(asset["publish_at"] < "2026-11-22" and asset["status"] == "approved" for asset in assets)


@pytest.mark.slow
def test_the_committed_files_are_what_the_sources_make() -> None:
    for path, content in make_files(SAMPLE_ROOT):
        # Compressors differ between machines; what is inside must not.
        committed = path.read_bytes()
        assert committed == content or _inside(path, committed) == _inside(path, content), path.name


@pytest.mark.slow
def test_documents_and_papers_carry_no_time_of_making() -> None:
    for fields, text in map(split_front_matter, sorted((SAMPLE_ROOT / "sources").glob("*p3.md"))):
        assert render_paper(fields, text) == render_paper(fields, text)
    for fields, text in map(split_front_matter, sorted((SAMPLE_ROOT / "sources").glob("security-q*.md"))):
        assert render_document(fields, text) == render_document(fields, text)


@pytest.mark.slow
def test_papers_carry_their_title_and_all_their_text(assets: list[dict[str, Any]]) -> None:
    for asset in assets:
        if "file" not in asset or asset["file"].suffix != ".pdf":
            continue
        reader = pypdf.PdfReader(asset["file"])
        assert reader.metadata is not None
        assert reader.metadata.title == asset["title"]
        printed = {word for page in reader.pages for word in re.findall(r"\w{5,}", page.extract_text())}
        written = set(re.findall(r"\w{5,}", SOURCES[asset["id"]]))
        assert len(written - printed) <= 0.05 * len(written), sorted(written - printed)[:20]


def test_a_file_without_front_matter_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.md"
    path.write_text("Only text.", encoding="utf-8")
    with pytest.raises(SampleContentError, match=r"bare\.md"):
        split_front_matter(path)


def _inside(path: Path, content: bytes) -> object:
    if path.suffix == ".docx":
        document = Document(io.BytesIO(content))
        return document.core_properties.title, [paragraph.text for paragraph in document.paragraphs]
    if path.suffix == ".pdf":
        reader = pypdf.PdfReader(io.BytesIO(content))
        return reader.metadata, [page.extract_text() for page in reader.pages]
    return content
