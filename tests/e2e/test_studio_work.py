"""What the content team does in the studio every day, in a real browser against the whole of Foreword."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from e2e.foreword_process import Answer, Api, wait_until
from e2e.studio_session import Studio
from foreword_dev.stack import Stack
from unit.gateway.gateway_stand_in import serve
from unit.recommender.extraction.made_files import ENGLISH

pytestmark = pytest.mark.slow


def overrule(page: Page, **weights: str) -> None:
    page.get_by_text("Overrule", exact=True).click()
    for stage in ("Awareness", "Consideration", "Decision", "Customer"):
        page.get_by_label(stage, exact=True).fill(weights.get(stage, "0"))
    page.get_by_role("button", name="Set the stage").click()
    expect(page.locator("main")).to_contain_text("Set by an editor")


def test_a_stage_is_overruled_and_given_back(studio: Studio, api: Api) -> None:
    api.put_asset("studio-stage", title="A note whose stage is a matter of opinion")
    page = studio.open("/asset?id=studio-stage")
    overrule(page, Decision="1")
    assert api.get_asset("studio-stage").json()["stages"] == {"decision": 1.0}
    expect(page.locator("main")).to_contain_text("Stage overruled")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("Taken back")
    assert not api.get_asset("studio-stage").json()["stages"]


def test_many_are_changed_at_once_by_keyboard_and_taken_back(studio: Studio, api: Api) -> None:
    for n in (1, 2, 3):
        api.put_asset(f"studio-bulk-{n}", title=f"Bulkword {n}", status="draft")
    page = studio.open("/library?q=Bulkword")
    boxes = page.get_by_role("checkbox", name="Tick Bulkword")
    expect(boxes).to_have_count(3)
    page.get_by_role("checkbox", name="Tick all rows").focus()
    page.keyboard.press("Space")
    expect(page.locator("[data-count]")).to_have_text("3 ticked")
    page.get_by_label("Change", exact=True).select_option("approved")
    page.get_by_role("button", name="Change ticked").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("3 of 3 assets changed")
    assert {api.get_asset(f"studio-bulk-{n}").json()["status"] for n in (1, 2, 3)} == {"approved"}
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("3 changes taken back")
    assert {api.get_asset(f"studio-bulk-{n}").json()["status"] for n in (1, 2, 3)} == {"draft"}


def test_all_that_is_found_is_changed_beyond_the_page_and_taken_back(studio: Studio, api: Api) -> None:
    rows = [
        {"id": f"studio-all-{n}", "title": f"Tideword {n}", "url": "https://a.example", "status": "draft"}
        for n in range(30)
    ]
    sent = b"\n".join(json.dumps(row).encode() for row in rows)
    api.send("POST", "/v1/assets:import", sent, {"Content-Type": "application/x-ndjson"})

    def approved() -> int:
        found = api.send("GET", "/v1/assets?q=Tideword&status=approved&page_size=50").json()["assets"]
        return len(found)

    page = studio.open("/library?q=Tideword")
    page.get_by_role("checkbox", name="Tick all rows").check()
    expect(page.locator("[data-count]")).to_have_text("25 ticked")
    page.get_by_role("button", name="Tick all 30 found").click()
    expect(page.locator("[data-count]")).to_have_text("30 ticked")
    page.get_by_label("Change", exact=True).select_option("approved")
    page.get_by_role("button", name="Change ticked").click()
    expect(page.locator("#ask")).to_contain_text("Change all 30 assets")
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.get_by_role("status")).to_contain_text("30 of 30 assets changed")
    assert approved() == 30
    assert "q=Tideword" in page.url
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("30 changes taken back")
    assert approved() == 0
    page = studio.open("/audit?q=30 assets together")
    expect(page.locator("tbody tr").first).to_contain_text("Approved, 30 assets together")


def test_a_deletion_asks_and_can_be_taken_back(studio: Studio, api: Api) -> None:
    api.put_asset("studio-gone", title="Soon gone", body="Its text.", topics=["a"])
    page = studio.open("/asset?id=studio-gone")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    assert api.get_asset("studio-gone").status == 200
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.get_by_role("status")).to_contain_text("Deleted")
    assert api.get_asset("studio-gone").status == 404
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("Taken back")
    back = api.get_asset("studio-gone").json()
    assert (back["title"], back["body"], back["topics"]) == ("Soon gone", "Its text.", ["a"])


def test_why_an_asset_is_not_shown_is_said(studio: Studio, api: Api) -> None:
    api.put_asset("studio-draft", title="Still a draft", status="draft")
    page = studio.open("/asset?id=studio-draft")
    page.get_by_label("Buyer or account").fill("adaeze.nwosu")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#why")).to_contain_text("It is not shown")
    expect(page.locator("#why li").first).not_to_be_empty()


def test_a_gap_is_found_and_closed(studio: Studio, api: Api, tmp_path: Path) -> None:
    api.put_asset(
        "studio-persona", title="For the harbour master", personas=["harbour-master"], stages={"awareness": 1}
    )
    page = studio.open("/coverage")
    page.get_by_role("link", name="none for harbour-master in decision").click()
    expect(page.get_by_role("heading", name="Brief: harbour-master, decision")).to_be_visible()
    page.get_by_role("button", name="Upload for this gap").click()
    expect(page.locator("main")).to_contain_text("Closing a gap")
    (tmp_path / "studio-harbour-checklist.md").write_text(f"# Their checklist\n\n{ENGLISH}\n")
    page.locator("input[type=file]").set_input_files(tmp_path / "studio-harbour-checklist.md")
    card = page.locator(".file.ready")
    expect(card.get_by_label("Personas")).to_have_value("harbour-master")  # nobody has to remember it
    card.get_by_role("button", name="Save and approve").click()
    expect(page.locator(".file.live")).to_contain_text("is live")
    page = studio.open("/asset?id=studio-harbour-checklist")
    overrule(page, Decision="1")
    page = studio.open("/coverage")
    expect(page.get_by_role("link", name="none for harbour-master in decision")).to_have_count(0)
    page.get_by_role("link", name="1 for harbour-master in decision: see them").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("Their checklist")


def test_a_buyer_is_seen_at_an_earlier_time(studio: Studio) -> None:
    page = studio.open("/buyers")
    page.get_by_role("searchbox").fill("adaeze.nwosu")
    page.keyboard.press("Enter")
    page.wait_for_url("**/buyer?id=*")
    expect(page.locator(".chart")).to_be_visible()
    # What each signal did to the stage, in numbers.
    assert page.locator("[aria-labelledby=h-signals] .effect").count() > 5
    now = page.locator("#standing").inner_text()
    assert "Why this stage" in now
    page.get_by_label("Months back").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#standing")).not_to_contain_text(now.split("\n")[0])


def first_in_the_widget(studio: Studio, stack: Stack, placement: str) -> str:
    """The first card that a visitor of another website sees, with the snippet of the placement's page."""
    snippet = studio.page.locator("#snippet-web").inner_text().replace("fw_pk_…", stack.keys["publishable"])
    browser = studio.page.context.browser
    assert browser is not None
    visitor = browser.new_context()
    page = visitor.new_page()
    site = Flask("blog")
    site.add_url_rule("/", view_func=lambda: f"<!doctype html><title>Blog</title><body>{snippet}</body>")
    with serve(site) as url:
        page.goto(url)
        title = page.locator("foreword-recommendations").get_by_role("link").first.inner_text()
    visitor.close()
    return title


def test_a_pinned_asset_comes_first_where_it_was_pinned(studio: Studio, stack: Stack, api: Api) -> None:
    pinned = api.recommended(count=50, anonymous_id="nobody-yet")[20]
    page = studio.open("/placement?id=studio-sidebar")
    title = api.get_asset(pinned).json()["title"]
    page.get_by_label("Find an asset").press_sequentially(title[:12], delay=20)
    expect(page.locator(f"#assets option[value='{pinned}']")).to_be_attached()
    page.get_by_label("Find an asset").fill(pinned)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Pin asset ids")).to_have_value(pinned)
    expect(page.locator("#shown li").first).to_contain_text(title)  # tried before it is saved
    page.get_by_role("button", name="Save the rules").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    assert api.recommended(placement="studio-sidebar", anonymous_id="nobody-yet")[0] == pinned
    assert title in first_in_the_widget(studio, stack, "studio-sidebar")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("Taken back")
    assert api.recommended(placement="studio-sidebar", anonymous_id="nobody-yet")[0] != pinned


def test_a_key_is_issued_shown_once_and_revoked(studio: Studio, stack: Stack) -> None:
    page = studio.open("/keys")
    page.get_by_label("Name").fill("the shop")
    page.get_by_label("assets:read").check()
    page.get_by_role("button", name="Issue").click()
    key = page.locator("#made").inner_text()
    client = Api(stack.url, key)
    assert client.send("GET", "/v1/assets?page_size=1").status == 200
    page = studio.open("/keys")
    assert key not in page.content()
    page.get_by_role("row", name="the shop").get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.get_by_role("status")).to_contain_text("is revoked")

    def refused() -> bool:
        answer: Answer = client.send("GET", "/v1/assets?page_size=1")
        return answer.status == 401

    wait_until(refused, 2.0, "refused")


def test_the_library_is_filtered_by_language_and_tag(studio: Studio, api: Api) -> None:
    for n, language, topic in (
        (1, "en", "studio-tides"),
        (2, "de", "studio-tides"),
        (3, "de", "studio-locks"),
    ):
        api.put_asset(f"studio-filter-{n}", title=f"Filterword {n}", language=language, topics=[topic])
    page = studio.open("/library?q=Filterword")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    page.get_by_label("Language").select_option("de")
    expect(rows).to_have_count(2)
    # A tag that hardly anything carries is offered as soon as it is written, and found in any case.
    page.get_by_label("Tag", exact=True).press_sequentially("STUDIO-tid", delay=20)
    expect(page.locator("#tags option[value=studio-tides]")).to_be_attached()
    expect(rows).to_have_count(1)
    page.get_by_label("Tag", exact=True).fill("studio-tides")
    page.wait_for_url("**tag=studio-tides**")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Filterword 2")
    page.reload()
    expect(rows).to_have_count(1)  # what was filtered can be sent to a colleague
    page.get_by_role("checkbox", name="Tick all rows").check()
    page.get_by_label("Change", exact=True).select_option("without_topics")
    page.get_by_label("What to set").fill("studio-tides")
    page.get_by_role("button", name="Change ticked").click()
    expect(page.get_by_role("status")).to_contain_text("1 of 1 assets changed")
    assert api.get_asset("studio-filter-2").json()["topics"] == []
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("Taken back")
    assert api.get_asset("studio-filter-2").json()["topics"] == ["studio-tides"]


def test_accounts_are_listed_sorted_and_lead_to_their_page(studio: Studio, api: Api) -> None:
    for user, event in (("tara", "Demo Requested"), ("tara", "Pricing Viewed"), ("tom", "Content Viewed")):
        api.track(user, event, context={"groupId": "tern.example"})
    api.post("/v1/group", {"userId": "tom", "groupId": "tern.example", "traits": {"name": "Tern Ferries"}})
    page = studio.open("/accounts?q=tern")
    wait_until(
        lambda: "Tern Ferries" in studio.open("/accounts?q=tern").content(), 20, "the account is listed"
    )
    row = page.get_by_role("row", name="Tern Ferries")
    expect(row).to_contain_text("2")
    page = studio.open("/accounts")
    total = page.locator("tbody tr").count()
    assert total > 3
    page.get_by_role("link", name="Buying group").click()
    page.wait_for_url("**sort=people**")
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Buying group")
    sizes = [int(text.split("\n")[0]) for text in page.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True)
    page.get_by_role("searchbox").fill("tern ferr")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Tern Ferries").click()
    page.wait_for_url("**/account?id=tern.example")
    expect(page.get_by_role("heading", name="Tern Ferries")).to_be_visible()
    signals = page.locator("[aria-labelledby=h-signals] li")
    expect(signals.filter(has=page.get_by_role("link", name="tara"))).to_have_count(2)
    expect(signals.filter(has=page.get_by_role("link", name="tom")).first).to_be_visible()


def test_a_change_with_a_key_stands_in_the_audit_log(studio: Studio, api: Api) -> None:
    api.put_asset("studio-by-key", title="Put by a machine")
    api.send("PATCH", "/v1/assets/studio-by-key", b'{"summary": "New"}', {"Content-Type": "application/json"})
    wait_until(lambda: "summary" in studio.open("/audit?q=studio-by-key").content(), 5, "the change is noted")
    rows = studio.page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Changed: summary, through the API")
    expect(rows.first).to_contain_text("key “")
    page = studio.open("/asset?id=studio-by-key")
    expect(page.locator("[aria-labelledby=h-history]")).to_contain_text("Created, through the API")
