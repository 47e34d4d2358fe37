"""Metrics that move, and logs that machines can read and that hold no key."""

from __future__ import annotations

import orjson
import pytest
import urllib3

from e2e.foreword_process import Api, metric
from foreword_dev.stack import Stack

pytestmark = pytest.mark.slow


def test_every_service_tells_its_metrics_on_a_port_of_its_own(stack: Stack) -> None:
    ports = {
        "gateway": stack.settings.gateway,
        "recommender": stack.settings.recommender,
        "embedder": stack.settings.embedder,
    }
    for name, port in ports.items():
        answer = urllib3.request("GET", f"http://127.0.0.1:{port.metrics}/metrics", retries=False)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.data.decode()
        assert f"# TYPE foreword_{name}_http_requests_total counter" in text
        assert f"# TYPE foreword_{name}_http_request_duration_seconds histogram" in text
        assert f"foreword_{name}_build_info" in text
        public = urllib3.request("GET", f"http://127.0.0.1:{port.service}/metrics", retries=False)
        assert public.status == 404


def test_recommendations_count_by_tier(stack: Stack, api: Api) -> None:
    port = stack.settings.gateway.metrics
    name = "foreword_gateway_recommendations_total"
    before = metric(port, name, placement="counted", tier="personal")
    for _ in range(3):
        api.recommended(user_id="adaeze.nwosu", placement="counted")
    assert metric(port, name, placement="counted", tier="personal") == before + 3
    name = "foreword_recommender_recommendations_total"
    before = metric(stack.settings.recommender.metrics, name)
    tier = api.post("/v1/recommendations", {"anonymous_id": "nobody"}).json()["meta"]["tier"]
    assert metric(stack.settings.recommender.metrics, name) == before + 1
    assert metric(stack.settings.recommender.metrics, name, tier=tier) >= 1


def test_signals_count_by_kind_and_outcome(stack: Stack, api: Api) -> None:
    port = stack.settings.gateway.metrics
    name = "foreword_gateway_signals_total"
    accepted = metric(port, name, kind="track", outcome="accepted")
    duplicates = metric(port, name, kind="track", outcome="duplicate")
    for _ in range(2):
        api.track("counted", "Pricing Viewed", messageId="counted-once-and-for-all")
    assert metric(port, name, kind="track", outcome="accepted") == accepted + 1
    assert metric(port, name, kind="track", outcome="duplicate") == duplicates + 1


def test_assets_count_by_what_became_of_them(stack: Stack, api: Api) -> None:
    port = stack.settings.recommender.metrics
    stored = metric(port, "foreword_recommender_asset_writes_total", result="stored")
    deleted = metric(port, "foreword_recommender_asset_writes_total", result="deleted")
    size = metric(port, "foreword_recommender_index_assets")
    api.put_asset("counted-asset")
    assert metric(port, "foreword_recommender_index_assets") == size + 1
    api.send("DELETE", "/v1/assets/counted-asset")
    assert metric(port, "foreword_recommender_asset_writes_total", result="stored") == stored + 1
    assert metric(port, "foreword_recommender_asset_writes_total", result="deleted") == deleted + 1
    assert metric(port, "foreword_recommender_index_assets") == size


def test_routes_are_labels_and_ids_are_not(stack: Stack, api: Api) -> None:
    api.get_asset("an-id-that-no-metric-may-show")
    for port in (stack.settings.gateway.metrics, stack.settings.recommender.metrics):
        text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
        assert "an-id-that-no-metric-may-show" not in text
        assert "adaeze" not in text


def test_logs_are_json_with_request_ids_and_without_keys(stack: Stack, api: Api) -> None:
    request_id = "e2e-request-id-0123456789"
    wrong = "fw_sk_" + "w" * 43
    Api(api.url, wrong).send("GET", "/v1/assets", headers={"X-Request-ID": "refused"})
    # A file that cannot be read with this id: the recommender has something to say about it.
    answer = api.send("GET", "/v1/assets?page_size=1", headers={"X-Request-ID": request_id})
    assert answer.headers["x-request-id"] == request_id
    assert answer.headers["traceparent"]
    lines = 0
    for name in ("gateway", "recommender", "embedder"):
        text = (stack.settings.logs_dir / f"{name}.log").read_text()
        for secret in (*stack.keys.values(), wrong):
            assert secret not in text
        for line in text.splitlines():
            found = orjson.loads(line)
            assert {"event", "level", "timestamp", "service"} <= set(found), line
            assert found["service"] == name
            lines += 1
    assert lines > 10
