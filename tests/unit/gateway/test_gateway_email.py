"""Email: the block and its text, the links in it, and who counts as a reader."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from lxml import html as markup

from gateway.click_links import ClickSealer
from gateway.email_links import EmailSealer, EmailView
from servicekit.errors import NotFound
from unit.gateway.gateway_fixtures import PROJECT_SECRET, Gateway

OUTLOOK = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Microsoft Outlook 16.0)"
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0"
MACHINES = (
    "Mozilla/5.0",  # Apple's Mail Privacy Protection says no more than this
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "Mozilla/5.0 (compatible; Barracuda Sentinel)",
    "Microsoft Office Existence Discovery",
    "Mozilla/5.0 (X11; Linux) HeadlessChrome/120.0",
    "python-requests/2.32",
    "",
)


def block(gateway: Gateway, **query: Any) -> Any:
    asked = {"send_id": "june", "user_id": "u-1", **query}
    return gateway.client.get("/v1/email/block", query_string=asked, headers=gateway.headers())


def test_the_block_is_a_table_with_every_style_in_its_element(gateway: Gateway) -> None:
    gateway.recommender.catalogue[0]["title"] = "<b>Costs & benefits</b>"
    gateway.recommender.catalogue[1]["image_url"] = "https://cdn.example.com/2.png"
    answer = block(gateway, count="2", accent="#123456", heading="For you")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    page = markup.fromstring(answer.text)
    assert page.tag == "table"
    assert not page.xpath("//style|//script|//link|//div")
    assert all(cell.get("style") for cell in page.xpath("//td[@class]|//p|//a"))
    assert "#123456" in answer.text
    assert page.xpath("//p[a]/a/text()") == ["<b>Costs & benefits</b>", "Title 2"]
    assert page.xpath("//img/@src")[0] == "https://cdn.example.com/2.png"
    links = page.xpath("//a/@href")
    assert len(links) == 5
    assert all(link.startswith("http://localhost/c/") for link in links)
    opened = ClickSealer(PROJECT_SECRET).open(links[0].rpartition("/")[2])
    assert (opened.channel, opened.user_id, opened.asset_id) == ("email", "u-1", "asset-1")


def test_the_slot_is_what_the_recommender_is_asked_for(gateway: Gateway) -> None:
    block(gateway, slot="footer", count="2", placement="newsletter", exclude_ids="a")
    asked = orjson.loads(gateway.recommender.last("/v1/email/slots")["body"])
    assert asked == {
        "send_id": "june",
        "slot": "footer",
        "user_id": "u-1",
        "count": 2,
        "placement": "newsletter",
        "channel": "email",
        "exclude_ids": ["a"],
    }


def test_text_and_json_say_the_same(gateway: Gateway) -> None:
    text = block(gateway, format="text")
    assert text.mimetype == "text/plain"
    assert "Title 1\nSummary 1\nhttp://localhost/c/" in text.text
    both = block(gateway, format="json").json
    assert both["text"] == text.text
    assert both["html"].startswith("<table")
    assert [item["id"] for item in both["answer"]["items"]] == ["asset-1", "asset-2", "asset-3"]
    assert both["view_url"] == block(gateway, format="json").json["view_url"]


@pytest.mark.parametrize("trouble", ["away", "nothing"])
def test_a_bad_day_is_never_an_error_in_a_mail(gateway: Gateway, trouble: str) -> None:
    block(gateway)
    if trouble == "away":
        gateway.recommender.status = 503
        answer = block(gateway)
        assert "Title 1" in answer.text
    else:
        gateway.recommender.catalogue.clear()
        answer = block(gateway)
        assert answer.text == ""
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "wrong", [{"send_id": ""}, {"user_id": ""}, {"accent": "red;}"}, {"count": "11"}, {"colour": "x"}]
)
def test_what_makes_no_sense_is_refused(gateway: Gateway, wrong: dict[str, str]) -> None:
    assert block(gateway, **wrong).status_code == 422


def test_somebody_must_be_named(gateway: Gateway) -> None:
    answer = gateway.client.get("/v1/email/block?send_id=june", headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (422, "fields_invalid")


def test_a_publishable_key_gets_no_block(gateway: Gateway) -> None:
    answer = gateway.client.get(
        "/v1/email/block?send_id=june&anonymous_id=a", headers=gateway.headers(gateway.publishable)
    )
    assert answer.status_code == 403


def opening(gateway: Gateway) -> str:
    found = re.search(r'http://localhost(/e/[^"]+/open\.gif)', block(gateway, count="2").text)
    assert found is not None
    return found[1]


def test_an_opening_counts_once_for_each_asset(gateway: Gateway) -> None:
    path = opening(gateway)
    answer = gateway.client.get(path, headers={"User-Agent": THUNDERBIRD})
    assert (answer.status_code, answer.mimetype) == (200, "image/gif")
    first = orjson.loads(gateway.recommender.last("/v1/signals")["body"])["batch"]
    assert [event["properties"]["asset_id"] for event in first] == ["asset-1", "asset-2"]
    assert {event["event"] for event in first} == {"Recommendation Viewed"}
    assert {event["userId"] for event in first} == {"u-1"}
    gateway.client.get(path, headers={"User-Agent": OUTLOOK})
    again = orjson.loads(gateway.recommender.last("/v1/signals")["body"])["batch"]
    assert [event["messageId"] for event in again] == [event["messageId"] for event in first]


@pytest.mark.parametrize("agent", MACHINES)
def test_a_machine_that_opens_a_mail_is_no_reader(gateway: Gateway, agent: str) -> None:
    path = opening(gateway)
    before = len(gateway.recommender.seen)
    assert gateway.client.get(path, headers={"User-Agent": agent}).status_code == 200
    assert len(gateway.recommender.seen) == before
    assert gateway.count("email_opens_total", outcome="machine") == 1


def test_a_scanner_that_follows_a_link_of_a_mail_has_not_clicked(gateway: Gateway) -> None:
    link = block(gateway, format="json").json["answer"]["items"][0]["click_url"]
    before = len([s for s in gateway.recommender.seen if s["path"] == "/v1/signals"])
    for agent in MACHINES:
        assert gateway.client.get(link, headers={"User-Agent": agent}).status_code == 302
    assert len([s for s in gateway.recommender.seen if s["path"] == "/v1/signals"]) == before
    gateway.client.get(link, headers={"User-Agent": THUNDERBIRD})
    assert len([s for s in gateway.recommender.seen if s["path"] == "/v1/signals"]) == before + 1


def test_a_link_of_an_old_mail_leads_to_the_equivalent_of_what_has_expired(gateway: Gateway) -> None:
    link = block(gateway, format="json").json["answer"]["items"][0]["click_url"]
    assert gateway.client.get(link).headers["Location"] == "https://www.example.com/1"
    gateway.recommender.replaced["asset-1"] = "https://www.example.com/newer"
    assert gateway.client.get(link).headers["Location"] == "https://www.example.com/newer"
    gateway.recommender.replaced["asset-1"] = "javascript:alert(1)"
    assert gateway.client.get(link).headers["Location"] == "https://www.example.com/1"
    gateway.recommender.status = 503
    assert gateway.client.get(link).headers["Location"] == "https://www.example.com/1"


def test_the_block_can_be_seen_in_the_browser_without_being_counted(gateway: Gateway) -> None:
    url = block(gateway, format="json").json["view_url"]
    before = [s["path"] for s in gateway.recommender.seen]
    answer = gateway.client.get(url)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert "Title 1" in answer.text
    assert "open.gif" not in answer.text
    assert [s["path"] for s in gateway.recommender.seen] == [*before, "/v1/email/slots"]


def test_a_link_of_one_kind_is_no_link_of_another() -> None:
    sealer = EmailSealer(PROJECT_SECRET)
    view = EmailView("s", "1", "u", None, "email", 3, "advance", "For you", "#0b6e5f")
    token = sealer.seal_view(view)
    assert sealer.open_view(token) == view
    assert token == sealer.seal_view(view)
    for other in (sealer.open_opening, ClickSealer(PROJECT_SECRET).open):
        with pytest.raises(NotFound):
            other(token)
    with pytest.raises(NotFound):
        sealer.open_view(token[:-2] + "AA")


PAGE = {"context.asset_id": "asset-3", "context.query": "pumps"}


@pytest.mark.parametrize(
    ("query", "headers", "page"),
    [
        ({"consent": "none"}, {}, {"asset_id": None, "url": None, "query": None}),
        ({"consent": "contextual"}, {}, {"asset_id": "asset-3", "query": "pumps"}),
        ({"consent": "profile"}, {"Sec-GPC": "1"}, {"asset_id": "asset-3", "query": "pumps"}),
    ],
)
def test_whoever_does_not_want_to_be_known_gets_a_block_for_anybody(
    gateway: Gateway, query: dict[str, str], headers: dict[str, str], page: dict[str, Any]
) -> None:
    asks = {"send_id": "june", "user_id": "u-1", "account_id": "acme", "format": "json", **PAGE, **query}
    answer = gateway.client.get("/v1/email/block", query_string=asks, headers=gateway.headers(**headers))
    assert answer.status_code == 200
    assert not [call for call in gateway.recommender.seen if call["path"] == "/v1/email/slots"]
    asked = orjson.loads(gateway.recommender.last("/v1/recommendations")["body"])
    assert {name: asked["context"].get(name) for name in page} == page
    known = {"user_id", "anonymous_id", "account_id", "send_id", "slot", "consent"}
    assert not known & {name for name, value in asked.items() if value is not None}
    assert "open.gif" not in answer.json["html"]
    link = answer.json["answer"]["items"][0]["click_url"].rpartition("/")[2]
    assert ClickSealer(PROJECT_SECRET).open(link).user_id is None
    assert gateway.client.get(answer.json["view_url"]).status_code == 200
    assert "u-1" not in str(gateway.recommender.seen)


def test_consent_to_a_profile_keeps_the_slot(gateway: Gateway) -> None:
    assert "open.gif" in block(gateway, consent="profile", **PAGE).text
    asked = orjson.loads(gateway.recommender.last("/v1/email/slots")["body"])
    assert (asked["user_id"], asked["context"]["query"]) == ("u-1", "pumps")
    assert block(gateway, consent="maybe").status_code == 422
