"""Uploads in the studio: many files of every kind, those that break, and those that mean harm."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Dialog, expect

from e2e.foreword_process import Api, wait_until
from e2e.studio_session import Studio
from unit.recommender.extraction.made_files import (
    ENGLISH,
    GERMAN,
    MORE_ENGLISH,
    encrypted_pdf,
    pdf,
    pdf_pages,
    slide_deck,
    word_file,
)

pytestmark = pytest.mark.slow

_HOSTILE = """"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}"""


def mixed_files() -> dict[str, bytes]:
    """27 that can be read and 3 that cannot."""
    texts = (ENGLISH, MORE_ENGLISH, GERMAN)
    files: dict[str, bytes] = {}
    for n in range(9):
        text = f"{texts[n % 3]} Number {n} of the series tells another story about lane {n}."
        files[f"studio-note-{n}.md"] = f"# A note on lane {n}\n\n{text}\n".encode()
        files[f"studio-page-{n}.html"] = (
            f"<html><head><title>Page about dock {n}</title></head><body><article>"
            f"<h1>Page about dock {n}</h1>"
            f"<p>{text}</p><p>{MORE_ENGLISH}</p></article></body></html>"
        ).encode()
    for n in range(3):
        files[f"studio-text-{n}.txt"] = f"A plain story {n}\n\n{texts[n % 3]} Story {n}.\n".encode()
    for n in range(3):
        files[f"studio-paper-{n}.pdf"] = pdf(texts[n], MORE_ENGLISH, heading=f"Paper {n} about reefers")
    files["studio-workshop.pptx"] = slide_deck()
    files["studio-requirements.docx"] = word_file()
    rows = "id,title,url\nstudio-row-1,A row,https://www.example.com/r1\nstudio-row-2,=1+1,https://www.example.com/r2\n"
    files["studio-list.csv"] = rows.encode()
    files["studio-broken.pdf"] = b"%PDF-1.7 and nothing more"
    files["studio-locked.pdf"] = encrypted_pdf(pdf_pages(["secret"]), "secret")
    files["studio-no-word.docx"] = b"this is no Word file"
    assert len(files) == 30
    return files


def test_thirty_files_are_read_and_three_say_in_words_why_not(
    studio: Studio, api: Api, tmp_path: Path
) -> None:
    paths = []
    for name, data in mixed_files().items():
        (tmp_path / name).write_bytes(data)
        paths.append(tmp_path / name)
    page = studio.open("/upload")
    page.locator("input[type=file]").set_input_files(paths)
    expect(page.locator("[data-upload-summary]")).to_have_text("30 of 30 files read", timeout=240_000)
    failed = page.locator(".file.failed")
    assert failed.count() == 3, failed.all_inner_texts()
    for name in ("studio-broken.pdf", "studio-locked.pdf", "studio-no-word.docx"):
        told = failed.filter(has_text=name)
        expect(told).to_have_count(1)
        assert len(told.locator("p").inner_text()) > 15
    expect(page.locator(".file.ready")).to_have_count(27)
    page.wait_for_load_state("networkidle")
    # Nothing went live by being uploaded, not even the rows of the list.
    for asset_id in ("studio-note-3", "studio-row-1", "studio-paper-1"):
        assert api.get_asset(asset_id).json()["status"] == "draft"
    slides, document = api.get_asset("studio-workshop").json(), api.get_asset("studio-requirements").json()
    assert slides["title"] == "Three months to a shortlist"
    assert "List the vetoes" in slides["body"]
    assert "Internal prices" not in slides["body"]  # a slide that is hidden stays so
    assert document["title"] == "Writing requirements together"
    assert "Who says no?" in document["body"]
    for read, name in ((slides, "studio-workshop.pptx"), (document, "studio-requirements.docx")):
        assert (read["language"], read["status"]) == ("en", "draft")
        card = page.locator(".file").filter(has_text=name)
        expect(card.get_by_label("Title")).to_have_value(read["title"])
    # Corrected here, then live: and recommendable within two seconds of the answer.
    card = page.locator(".file").filter(has_text="studio-note-3.md")
    card.get_by_label("Title").fill("A corrected note on lane three")
    card.get_by_role("button", name="Save and approve").click()
    expect(page.locator(".file.live")).to_contain_text("A corrected note on lane three")
    started = time.monotonic()
    wait_until(
        lambda: "studio-note-3" in api.recommended(count=50, anonymous_id="studio-reader"), 2.0, "recommended"
    )
    assert time.monotonic() - started < 2.0
    assert api.get_asset("studio-note-3").json()["title"] == "A corrected note on lane three"


def test_a_near_duplicate_is_pointed_out(studio: Studio, api: Api, tmp_path: Path) -> None:
    text = "Penguins keep their eggs warm on their feet while storms howl over the ice of the far south. " * 4
    assert api.put_asset("studio-original", title="The veto list", body=text, topics=["storms"]).status in (
        200,
        201,
    )
    (tmp_path / "studio-copy.md").write_text(f"# The veto list\n\n{text}\n")
    page = studio.open("/upload")
    page.locator("input[type=file]").set_input_files(tmp_path / "studio-copy.md")
    expect(page.locator(".file")).to_contain_text(
        "Very like what is there already: The veto list", timeout=60_000
    )
    expect(page.locator(".file").get_by_label("Topics")).to_have_value("storms")  # read out of the text


def test_hostile_text_stays_text_everywhere(studio: Studio, api: Api, tmp_path: Path) -> None:
    """XSS through every text field of an asset, a file's name and a row of a list."""
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    studio.page.on("dialog", note)
    fields = {"title": _HOSTILE, "summary": _HOSTILE, "body": _HOSTILE}
    tags = {name: [_HOSTILE[:90]] for name in ("topics", "personas", "industries", "regions")}
    stored = api.put_asset(
        "studio-xss",
        **fields,
        **tags,
        url="https://www.example.com/?q=%22%3E" + quote(_HOSTILE),
        stages={"decision": 1},
        image_url="https://evil.example/x.png",
        metadata={_HOSTILE[:90]: _HOSTILE},
    )
    assert stored.status in (200, 201), stored.body
    api.track("studio-xss-buyer", "Asset Viewed", properties={"asset_id": "studio-xss", "name": _HOSTILE})
    api.post(
        "/v1/identify", {"userId": "studio-xss-buyer", "traits": {"name": _HOSTILE, "persona": _HOSTILE}}
    )
    api.post(
        "/v1/group",
        {"userId": "studio-xss-buyer", "groupId": "studio-xss-firm", "traits": {"name": f"Xss {_HOSTILE}"}},
    )
    page = studio.open("/accounts?q=Xss")
    for _ in range(60):
        if page.locator("tbody tr").count():
            break
        page.wait_for_timeout(250)
        page = studio.open("/accounts?q=Xss")
    expect(page.locator("tbody tr")).to_contain_text("onerror")
    for path in (
        "/accounts?q=Xss",
        f"/accounts?q={quote(_HOSTILE)}",
        "/account?id=studio-xss-firm",
        f"/library?tag=topics:{quote(_HOSTILE[:90])}",
        f"/library?tag={quote(_HOSTILE[:90])}",
        f"/audit?q={quote(_HOSTILE)}",
        "/library?q=onerror",
        f"/library?q={quote(_HOSTILE)}",
        "/asset?id=studio-xss",
        "/coverage",
        "/coverage?by=topic",
        f"/coverage/brief?persona={quote(_HOSTILE)}&stage=decision",
        "/buyer?id=studio-xss-buyer",
        "/audit",
        f"/buyers?missed={quote(_HOSTILE)}",
        f"/placement?id={quote('<img src=x onerror=alert(3)>')}",
        f"/upload?persona={quote(_HOSTILE)}",
    ):
        page = studio.open(path)
        assert page.locator("img[onerror]").count() == 0, path
        assert page.locator("main script").count() == 0, path
    page = studio.open("/upload")
    names = ["<img src=x onerror=alert(4)>.md", "'\"><svg onload=alert(5)>.csv"]
    (tmp_path / "a.md").write_text(f"# {_HOSTILE}\n\n{ENGLISH}\n")
    files = [
        {"name": names[0], "mimeType": "text/markdown", "buffer": (tmp_path / "a.md").read_bytes()},
        {
            "name": names[1],
            "mimeType": "text/csv",
            "buffer": f'title,url\n"{_HOSTILE.replace(chr(34), chr(34) * 2)}",nonsense\n'.encode(),
        },
    ]
    page.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]
    expect(page.locator("[data-upload-summary]")).to_have_text("2 of 2 files read")
    page.wait_for_load_state("networkidle")
    assert page.locator("#files img, #files svg[onload], #files script").count() == 0
    assert page.locator("#files").inner_text().count("onerror") >= 1
    assert dialogs == []
