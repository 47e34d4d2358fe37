"""The studio's parts that need neither browser nor database: roles, goals, rules, rows, charts, addresses."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from werkzeug.datastructures import MultiDict

from gateway.studio import charts, display
from gateway.studio.drafted_rows import as_drafts
from gateway.studio.editing import fields_of, read_tags
from gateway.studio.figures import OwnFigures, Past
from gateway.studio.goals import MARKETING, OPERATIONS, Counted
from gateway.studio.library_filters import asked_for, choices, filter_of, narrows, tag_choices
from gateway.studio.members import valid_email, valid_password
from gateway.studio.placement_form import rows_of, rules_of
from gateway.studio.roles import Role
from gateway.studio.score_words import score_rows
from gateway.studio.topic_reading import topics_in
from servicekit.errors import BadRequest, Unprocessable

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_each_role_holds_those_below_it() -> None:
    roles = list(Role)
    for place, role in enumerate(roles):
        assert [role.may(other) for other in roles] == [n <= place for n in range(len(roles))]


def rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode())))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_every_row_of_a_list_becomes_a_draft(separator: str) -> None:
    plain = ["title,url,status", "A,https://a.example,approved", "B,https://b.example,archived", ""]
    data = "\r\n".join(plain).replace(",", separator).encode("utf-8-sig")
    made, media_type = as_drafts(data, most_rows=9)
    assert media_type == "text/csv"
    assert [row[2] for row in rows(made)] == ["status", "draft", "draft"]
    added, _ = as_drafts(b'title,url\n"a, b",https://a.example\nshort\n', most_rows=9)
    assert rows(added)[1:] == [["a, b", "https://a.example", "draft"], ["short", "", "draft"]]


def test_what_is_no_list_says_so() -> None:
    for data in (b"", b"title,url\n", b"\n\n"):
        with pytest.raises(BadRequest):
            as_drafts(data, most_rows=9)


def test_a_list_that_is_too_long_is_sent_elsewhere() -> None:
    with pytest.raises(BadRequest, match="foreword import"):
        as_drafts(b"title,url\na,b\nc,d\n", most_rows=1)


def test_rules_survive_the_way_through_their_form() -> None:
    rules = {
        "pin": ["a", "b"],
        "static": [],
        "name": "Sidebar",
        "boost": [{"filter": {"must": [{"field": "type", "any_of": ["blog", "news"]}]}, "strength": 2.5}],
        "bury": [{"asset_ids": ["x", "y"], "strength": 1.0}],
        "exclude": [{"filter": {"should": [{"field": "stage", "any_of": ["customer"]}]}}],
        "quotas": [{"asset_ids": ["q"], "at_most": 1}],
        "max_per_type": 2,
        "frequency_cap": {"shows": 3, "days": 14.0},
    }
    form = MultiDict([("pin", "a\nb\n"), ("static", ""), ("name", "Sidebar"), ("max_per_type", "2")])
    form.update({"cap_shows": "3", "cap_days": "14"})
    for kind in ("boost", "bury", "exclude", "quotas"):
        for row in rows_of(rules, kind):
            for part in ("field", "value", "number"):
                form.add(f"{kind}_{part}", getattr(row, part))
    assert rules_of(form) == rules


def test_a_number_that_is_none_is_told() -> None:
    with pytest.raises(Unprocessable, match="whole number"):
        rules_of(MultiDict({"max_per_type": "many"}))


def test_a_form_empties_what_is_left_empty_and_touches_nothing_else() -> None:
    changes = fields_of({"title": " T ", "url": "u", "summary": " ", "topics": "a, b,a", "publish_at": ""})
    assert changes["title"] == "T"
    assert changes["summary"] is None
    assert changes["topics"] == ["a", "b"]
    assert changes["publish_at"] is None
    assert not {"body", "personas", "expires_at", "status", "stages"} & set(changes)
    assert read_tags(" , ") == []


def test_addresses_and_passwords_are_judged() -> None:
    assert valid_email(" Ana@Example.COM ") == "ana@example.com"
    for wrong in ("", "ana", "a b@example.com", "@example.com", "ana@", "a\n@example.com"):
        with pytest.raises(Unprocessable):
            valid_email(wrong)
    for password in ("x" * 11, "x" * 201):
        with pytest.raises(Unprocessable):
            valid_password(password)


def test_only_web_addresses_become_links() -> None:
    assert display.web_address("HTTPS://a.example") == "HTTPS://a.example"
    for wrong in ("javascript:alert(1)", "data:text/html,x", "//a.example", None, ""):
        assert display.web_address(wrong) == ""


def test_charts_are_well_formed_whatever_they_are_told() -> None:
    hostile = '"><script>alert(1)</script>&'
    for made in (
        charts.stage_track({"awareness": 0.5, hostile: 0.5}),
        charts.stages_over_time([(NOW, {"unknown": 1.0}), (NOW, {})]),
        charts.bars([(hostile, 1.0), ("b", -2.0)]),
        charts.trend([1.0, 1.0, 3.0], hostile, 2.0),
    ):
        root = ElementTree.fromstring(str(made))
        assert not [one for one in root.iter() if one.tag.endswith("script")]


def test_goals_are_counted_from_samples() -> None:
    registry = CollectorRegistry()
    requests = Counter("foreword_gateway_http_requests_total", "", ["status"], registry=registry)
    requests.labels("2xx").inc(999)
    requests.labels("5xx").inc(1)
    cells = Gauge("foreword_recommender_coverage_cells", "", ["by", "filled"], registry=registry)
    cells.labels("topic", "true").set(3)
    cells.labels("topic", "false").set(1)
    stages = Gauge("foreword_recommender_stage_accounts", "", ["stage"], registry=registry)
    stages.labels("decision").set(4)
    source = OwnFigures(registry, None)
    figures = source.read((*MARKETING, *OPERATIONS), NOW)
    assert figures["Availability"] == Past([0.999])
    assert figures["Coverage"] == Past([0.75])
    assert "Latency" not in figures  # nothing was asked for, so there is nothing to be proud of
    assert source.by_stage() == {"accounts": {"decision": 4.0}, "buyers": {}}
    assert Counted([]).sum("nothing") == 0


def test_the_librarys_filters_are_the_apis() -> None:
    nothing = asked_for({})
    assert filter_of(nothing, NOW) is None
    assert not narrows(nothing)
    asked = asked_for(
        {"type": "blog", "stage": "decision", "tag": "topics:a:b", "language": "de", "published": "older"}
    )
    assert narrows(asked)
    assert filter_of(asked, NOW) == {
        "must": [
            {"field": "type", "any_of": ["blog"]},
            {"field": "language", "any_of": ["de"]},
            {"field": "stage", "any_of": ["decision"]},
            {"field": "topics", "any_of": ["a:b"]},
            {"field": "published_at", "to": "2025-03-01T00:00:00+00:00"},
        ]
    }
    assert filter_of(asked_for({"stage": "lost", "published": "7"}), NOW) is None


def test_what_is_filtered_by_can_always_be_seen_in_its_list() -> None:
    found = choices({"type": [["blog", 2]]}, asked_for({"type": "rare", "language": "de"}))
    assert [(one.value, one.count) for one in found["type"]] == [("blog", 2), ("rare", 0)]
    assert [(one.value, one.count) for one in found["language"]] == [("de", 0)]


TAGS = {"topics": [["GDP", 5], ["gdp audit", 2], ["it", 1]], "personas": [["it", 7]], "regions": []}


def tagged(text: str) -> dict[str, list[str]]:
    tree = filter_of(asked_for({"tag": text}), NOW, TAGS)
    assert tree is not None
    return {one["field"]: one["any_of"] for one in tree["must"][0]["should"]}


def test_a_tag_is_found_as_people_write_it() -> None:
    assert tagged("gdp") == {
        "topics": ["GDP"],
        "personas": ["gdp"],
        "industries": ["gdp"],
        "regions": ["gdp"],
    }
    assert tagged("aud")["topics"] == ["gdp audit"]
    assert tagged("IT")["topics"] == tagged("IT")["personas"] == ["it"]
    assert tagged("rarest")["regions"] == ["rarest"]  # none of the commoner ones, and yet it may be there


def test_tags_that_hold_what_is_written_are_offered_once_each() -> None:
    assert [(t.value, t.fields, t.count) for t in tag_choices(TAGS, "", 9)] == [
        ("it", ("topics", "personas"), 8),
        ("GDP", ("topics",), 5),
        ("gdp audit", ("topics",), 2),
    ]
    assert [t.value for t in tag_choices(TAGS, "gDp", 1)] == ["GDP"]


def test_a_score_is_told_in_words_without_what_does_not_matter() -> None:
    told = score_rows(
        {"fatigue": -0.5, "stage_fit": 1.416, "fresh_day": 2.7e-158, "diversity": -0.0, "new_one": 0.3}
    )
    assert told == [("fits their buying stage", 1.42), ("new one", 0.3), ("shown often, not followed", -0.5)]


def test_topics_of_the_library_are_read_out_of_a_text() -> None:
    known = [["cold-chain", 9], ["alarms", 4], ["audit", 2], ["GDP", 1], ["x", 1], ["chain", 1]]
    text = "The Cold Chain breaks at night. Alarms nobody hears; alarms that cry wolf. One audit, one chain."
    assert topics_in("What GDP asks", text, known) == ["GDP", "alarms", "chain", "cold-chain"]
    assert topics_in("", "alarmist gdpr", known) == []


def test_goals_carry_their_unit() -> None:
    moves = next(goal for goal in MARKETING if goal.name == "Stage moves")
    assert (moves.told(1), moves.told(16), moves.told(None)) == ("1 account", "16 accounts", "not known yet")
