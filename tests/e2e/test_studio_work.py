"""What the content team does in the studio every day, in a real browser against the whole of Foreword."""

from __future__ import annotations

import pytest
from flask import Flask
from playwright.sync_api import expect

from e2e.foreword_process import Answer, Api, wait_until
from e2e.studio_session import Studio
from foreword_dev.stack import Stack
from unit.gateway.gateway_stand_in import serve

pytestmark = pytest.mark.slow


def test_a_stage_is_overruled_and_given_back(studio: Studio, api: Api) -> None:
    api.put_asset("studio-stage", title="A note whose stage is a matter of opinion")
    page = studio.open("/asset?id=studio-stage")
    page.get_by_text("Overrule", exact=True).click()
    for stage, weight in (("Awareness", "0"), ("Consideration", "0"), ("Decision", "1"), ("Customer", "0")):
        page.get_by_label(stage, exact=True).fill(weight)
    page.get_by_role("button", name="Set the stage").click()
    expect(page.locator("main")).to_contain_text("Set by an editor")
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


def test_a_gap_is_found_and_closed(studio: Studio, api: Api) -> None:
    api.put_asset(
        "studio-persona", title="For the harbour master", personas=["harbour-master"], stages={"awareness": 1}
    )
    page = studio.open("/coverage")
    gap = page.get_by_role("link", name="none for harbour-master in decision")
    gap.click()
    expect(page.get_by_role("heading", name="Brief: harbour-master, decision")).to_be_visible()
    page.get_by_role("button", name="Upload for this gap").click()
    expect(page.locator("main")).to_contain_text("Closing a gap")
    api.put_asset(
        "studio-persona-2", title="Their checklist", personas=["harbour-master"], stages={"decision": 1}
    )
    page = studio.open("/coverage")
    expect(page.get_by_role("link", name="none for harbour-master in decision")).to_have_count(0)


def test_a_buyer_is_seen_at_an_earlier_time(studio: Studio) -> None:
    page = studio.open("/buyers")
    page.get_by_role("searchbox").fill("adaeze.nwosu")
    page.keyboard.press("Enter")
    page.wait_for_url("**/buyer?id=*")
    expect(page.locator(".chart")).to_be_visible()
    now = page.locator("#standing").inner_text()
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
    page.get_by_label("Pin").fill(pinned)
    title = api.get_asset(pinned).json()["title"]
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
    # The list offers the tags that are used most; any other can be asked for in the address.
    page = studio.open("/library?q=Filterword&language=de&tag=topics:studio-tides")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Filterword 2")
    assert "tag=topics" in page.url
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
