"""Recommendations for an email run: order, bad lines, limits, and lines that the recommender leaves."""

from __future__ import annotations

import gzip
from collections import Counter
from typing import Any

import orjson
import pytest

from gateway.api.batch import MAX_LINES
from unit.gateway.gateway_fixtures import Gateway
from unit.gateway.stand_in_documents import content

PATH = "/v1/recommendations:batch"


def run(gateway: Gateway, body: bytes, **headers: str) -> list[dict[str, Any]]:
    answer = gateway.client.post(PATH, data=body, headers=gateway.headers(**headers))
    assert answer.status_code == 200, answer.get_data()
    assert answer.mimetype == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.get_data().splitlines()]


def test_answers_come_line_by_line_in_the_order_of_the_requests(gateway: Gateway) -> None:
    users = [f"u{number}" for number in range(250)]
    body = b"\n".join(orjson.dumps({"user_id": user, "channel": "email"}) for user in users)
    lines = run(gateway, body)
    assert [line["recommendation_id"] for line in lines] == [f"rec-{user}" for user in users]
    assert lines[0]["items"][0]["click_url"].startswith("http://localhost/c/")
    assert len(gateway.recommender.seen) == 3  # a hundred lines a block


def test_no_more_than_a_block_is_held_at_once(gateway: Gateway) -> None:
    """The largest batch needs no more memory than its requests and the answers of one block."""
    body = b"".join(orjson.dumps({"user_id": f"u{n}"}) + b"\n" for n in range(MAX_LINES))
    answer = gateway.client.post(PATH, data=body, headers=gateway.headers(), buffered=False)
    pieces = iter(answer.response)
    for number in range(1, 4):
        assert next(pieces).count(b"\n") == 100
        assert len(gateway.recommender.seen) == number
    answer.close()
    assert len(gateway.recommender.seen) == 3  # a client that goes away asks nothing more


def test_the_batch_gives_what_the_single_request_gives(gateway: Gateway) -> None:
    asked = {"user_id": "u", "count": 2}
    single = gateway.client.post("/v1/recommendations", json=asked, headers=gateway.headers()).json
    (line,) = run(gateway, orjson.dumps(asked))
    for answer in (single, line):
        answer.pop("recommendation_id")
        for item in answer["items"]:
            item.pop("click_url")  # seals the recommendation's id
        answer["meta"].pop("request_id")
    assert line == single


def test_a_bad_line_is_a_problem_and_spoils_no_other(gateway: Gateway) -> None:
    body = b"\n".join(
        [
            b'{"user_id": "a"}',
            b'{"user_id": ',
            b"[]",
            b'{"count": 0}',
            b'{"user_id": "unwelcome"}',
            b"",
            b'{"context": {"query": "' + b"x" * 70_000 + b'"}}',
            b'{"user_id": "z"}\r',
        ]
    )
    lines = run(gateway, body)
    assert [line.get("code", line.get("recommendation_id")) for line in lines] == [
        "rec-a",
        "json_malformed",
        "json_not_an_object",
        "fields_invalid",
        "refused",
        "payload_too_large",
        "rec-z",
    ]
    assert {line["instance"] for line in lines if "instance" in line} == {PATH}
    assert all(line["status"] >= 400 for line in lines if "code" in line)


def test_lines_are_limited_before_anything_is_asked(gateway: Gateway) -> None:
    line = b'{"user_id": "u"}\n'
    answer = gateway.client.post(PATH, data=line * (MAX_LINES + 1), headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (413, "too_many_lines")
    assert gateway.recommender.seen == []


@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_an_empty_batch_is_a_400(gateway: Gateway, body: bytes) -> None:
    assert gateway.client.post(PATH, data=body, headers=gateway.headers()).status_code == 400


def test_a_gzipped_batch_is_read(gateway: Gateway) -> None:
    assert len(run(gateway, gzip.compress(b'{"user_id": "u"}'), **{"Content-Encoding": "gzip"})) == 1


@pytest.mark.parametrize("how", ["status", "nonsense"])
def test_each_line_falls_back_when_the_recommender_is_in_trouble(gateway: Gateway, how: str) -> None:
    run(gateway, b'{"user_id": "u"}')
    gateway.recommender.catalogue = [content(99)]
    gateway.recommender.status = 503 if how == "status" else 200
    gateway.recommender.nonsense = how == "nonsense"
    lines = run(gateway, b'{"user_id": "a", "count": 1}\n{"count": 0}\n{"user_id": "b", "count": 2}')
    assert [line.get("code") for line in lines] == [None, "fields_invalid", None]
    assert lines[0]["meta"]["degraded"] is True
    assert [len(line.get("items", [])) for line in lines] == [1, 0, 2]
    assert lines[0]["items"][0]["id"] == "asset-1"


def limited(gateway: Gateway, lines: list[dict[str, Any]], **options: Any) -> list[list[str]]:
    answer = gateway.client.post(
        "/v1/recommendations:batch",
        data=b"\n".join(orjson.dumps(line) for line in lines),
        query_string=options,
        headers=gateway.headers(),
    )
    assert answer.status_code == 200, answer.get_data()
    found = [orjson.loads(line) for line in answer.get_data().splitlines()]
    assert all([i["rank"] for i in one["items"]] == list(range(1, len(one["items"]) + 1)) for one in found)
    return [[item["id"] for item in one["items"]] for one in found]


def test_no_asset_goes_to_more_recipients_than_the_batch_says(gateway: Gateway) -> None:
    lines = [{"user_id": f"u{number}", "count": 2} for number in range(250)]
    shown = limited(gateway, lines, max_per_asset=50)
    counts = Counter(asset for items in shown for asset in items)
    assert max(counts.values()) == 50
    assert sum(counts.values()) == 8 * 50
    assert shown[0] == ["asset-1", "asset-2"]


def test_no_asset_comes_twice_inside_an_account(gateway: Gateway) -> None:
    lines = [{"user_id": f"u{n}", "account_id": f"a{n % 2}", "count": 2} for n in range(8)]
    shown = limited(gateway, lines, once_an_account="true")
    for account in range(2):
        inside = [asset for items in shown[account::2] for asset in items]
        assert len(inside) == len(set(inside)) == 8
    alone = limited(gateway, [{"user_id": f"u{n}", "count": 2} for n in range(3)], once_an_account="true")
    assert alone == [["asset-1", "asset-2"]] * 3


def test_the_account_that_is_stored_counts_as_well_as_the_one_that_is_said(gateway: Gateway) -> None:
    gateway.recommender.accounts = {"u0": "acme", "u1": "acme", "a2": "acme"}
    lines: list[dict[str, Any]] = [
        {"user_id": "u0", "count": 2},
        {"user_id": "u1", "account_id": "acme-by-another-name", "count": 2},
        {"anonymous_id": "a2", "count": 2},
        {"user_id": "u3", "account_id": "acme-by-another-name", "count": 2},
        {"user_id": "u1", "consent": "none", "count": 2},
    ]
    shown = limited(gateway, lines, once_an_account="true")
    inside = [asset for items in shown[:3] for asset in items]
    assert len(set(inside)) == 6
    assert not set(shown[1]) & set(shown[3])
    assert shown[4] == ["asset-1", "asset-2"]  # who does not want to be known is in no account
    assert limited(gateway, lines[:2]) == [["asset-1", "asset-2"]] * 2


@pytest.mark.slow
def test_a_whole_account_in_one_block_gets_what_there_is(gateway: Gateway) -> None:
    gateway.recommender.catalogue = [content(number) for number in range(1, 301)]
    lines = [{"user_id": f"u{n}", "account_id": "a", "count": 3} for n in range(100)]
    shown = [asset for items in limited(gateway, lines, once_an_account="true") for asset in items]
    assert len(shown) == len(set(shown)) == 300


@pytest.mark.parametrize("wrong", ["max_per_asset=0", "max_per_asset=x", "once_an_account=maybe"])
def test_limits_that_make_no_sense_are_refused(gateway: Gateway, wrong: str) -> None:
    answer = gateway.client.post(
        f"/v1/recommendations:batch?{wrong}", data=b'{"user_id": "u"}', headers=gateway.headers()
    )
    assert (answer.status_code, answer.json["code"]) == (422, "fields_invalid")
