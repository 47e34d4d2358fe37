"""The Python client against the real gateway: every method meets its address, and the README's code runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from foreword_client import AsyncClient, Client, RequestRefused
from unit.gateway.gateway_fixtures import Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn, running_stand_in, serve

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
HOOK = "https://hooks.example.com/x"


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[Gateway, str, StandIn]]:
    with running_stand_in() as recommender:
        made = make_gateway(recommender)
        with serve(made.app) as url:
            yield made, url, recommender


@pytest.fixture
def client(gateway: tuple[Gateway, str, StandIn]) -> Client:
    made, url, recommender = gateway
    recommender.reset()
    made.reset()
    return Client(url, made.secret, tries=1)


def test_every_method_meets_its_address(client: Client) -> None:
    answer = client.recommend(user_id="u/1", placement="p", count=2, account_id=None)
    assert [item["rank"] for item in answer["items"]] == [1, 2]
    assert client.explain("asset-1", user_id="u")["asset_id"] == "asset-1"
    assert client.search("pumps", count=2)[0]["id"] == "asset-1"
    asset = {"id": "a/ü:x", "title": "T", "url": "https://www.example.com/t"}
    assert client.put_asset(asset)["id"] == "a/ü:x"
    assert client.get_asset("a/ü:x")["title"] == "T"
    assert client.patch_asset("a/ü:x", summary=None)["id"] == "a/ü:x"
    assert [one["id"] for one in client.assets(status="approved")] == ["a/ü:x"]
    client.delete_asset("a/ü:x")
    with pytest.raises(RequestRefused) as refused:
        client.get_asset("a/ü:x")
    assert (refused.value.status, refused.value.problem["code"]) == (404, "asset_not_found")
    assert client.buyer("u/1")["user_id"] == "u/1"
    assert client.account("acme")["account_id"] == "acme"
    assert client.export_buyer("u")["exported"] == "u"
    assert client.erase_buyer("u")["receipt_id"] == "e-1"
    assert "cells" in client.coverage()
    assert client.email_block("june", user_id="u", count=2)["html"].startswith("<table")
    assert client.put_webhook("crm", HOOK, ["asset.ready"])["id"] == "crm"
    assert client.webhooks()[0]["id"] == "crm"
    assert client.webhook_deliveries(state="failed") == []
    client.delete_webhook("crm")
    assert len(client.recommend_batch([{"user_id": "a"}, {"user_id": "b"}], max_per_asset=1)) == 2


def test_signals_are_stored_under_ids_that_stay(
    client: Client, gateway: tuple[Gateway, str, StandIn]
) -> None:
    client.track("Pricing Viewed", user_id="u", group_id="acme", properties={"asset_id": "a"})
    client.page("https://www.example.com/x", anonymous_id="a")
    client.identify(user_id="u", anonymous_id="a", traits={"title": "CEO"})
    client.group("acme", user_id="u")
    client.alias("u", "a")
    events = [
        event
        for seen in gateway[2].seen
        if seen["path"] == "/v1/signals"
        for event in orjson.loads(seen["body"])["batch"]
    ]
    assert [event["type"] for event in events] == ["track", "page", "identify", "group", "alias"]
    assert (events[0]["userId"], events[0]["context"]) == ("u", {"groupId": "acme"})
    assert len({event["messageId"] for event in events}) == 5


def test_asyncio_calls_run_side_by_side(client: Client, gateway: tuple[Gateway, str, StandIn]) -> None:
    made, url, recommender = gateway
    recommender.delay_seconds = 0.2

    async def many() -> list[str]:
        one = AsyncClient(url, made.secret)
        answers = await asyncio.gather(*(one.recommend(user_id=f"u-{n}") for n in range(5)))
        await one.track("Pricing Viewed", user_id="u")
        return [answer["meta"]["tier"] for answer in answers]

    assert asyncio.run(many()) == ["personal"] * 5


def test_the_readmes_code_runs(
    client: Client, gateway: tuple[Gateway, str, StandIn], capsys: pytest.CaptureFixture[str]
) -> None:
    made, url, recommender = gateway
    recommender.assets["whitepaper-7"] = {
        "id": "whitepaper-7",
        "title": "T",
        "url": "https://www.example.com/choosing",
        "status": "archived",
        "stage_estimate": None,
        "embedding": {"model": None, "state": "pending"},
        "revision": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for block in blocks:
        code = block.replace("http://127.0.0.1:8080", url).replace("fw_sk_…", made.secret)
        exec(compile(code, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert "1 Title 1 http://" in printed
    assert "personal consideration" in printed
