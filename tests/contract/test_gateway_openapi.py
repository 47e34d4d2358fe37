"""The written contract, the routes, and the answers are one and the same."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway import openapi
from gateway.routing import REFUSED, Keyed
from unit.gateway.gateway_fixtures import Gateway, gateway, shared_gateway, stand_in, stand_in_server

__all__ = ["gateway", "shared_gateway", "stand_in", "stand_in_server"]

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
ASSET = {"title": "T", "url": "https://www.example.com/t"}
HOOK = {"url": "https://hooks.example.com/x", "events": ["asset.ready"]}


def test_the_committed_document_is_what_the_code_makes(gateway: Gateway) -> None:
    made = openapi.render(gateway.app.extensions["openapi"]())
    assert COMMITTED.read_bytes() == made, "run: python -m gateway.openapi > docs/openapi.json"


def test_the_document_is_valid_openapi(gateway: Gateway) -> None:
    validate(gateway.app.extensions["openapi"]())


def test_the_document_names_exactly_the_routes_that_answer(gateway: Gateway) -> None:
    answering = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in gateway.app.url_map.iter_rules()
        if not rule.endpoint.startswith(REFUSED)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    paths = gateway.app.extensions["openapi"]()["paths"]
    written = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert answering == written


def test_every_operation_says_which_key_it_needs(gateway: Gateway) -> None:
    for route in gateway.app.extensions["routes"]:
        operation = gateway.app.extensions["openapi"]()["paths"][openapi.public_path(route)][
            route.method.lower()
        ]
        if isinstance(route.access, Keyed):
            assert operation["security"][0] == {"bearer": [route.access.scope]}
            assert {"401", "403", "429"} <= set(operation["responses"])
        else:
            assert operation["security"] == []


def examples(gateway: Gateway) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(path of the contract, method, address, what to send)"""
    event = {"json": {"userId": "u", "event": "x"}}
    ndjson = {"data": orjson.dumps(ASSET), "content_type": "application/x-ndjson"}
    found: list[tuple[str, str, str, dict[str, Any]]] = [
        ("/v1/recommendations", "POST", "/v1/recommendations", {"json": {"user_id": "u"}}),
        ("/v1/recommendations", "POST", "/v1/recommendations", {"json": {"count": 0}}),
        ("/v1/recommendations", "GET", "/v1/recommendations?user_id=u", {}),
        ("/v1/recommendations:batch", "POST", "/v1/recommendations:batch", {"data": b'{"user_id": "u"}'}),
        ("/v1/explain", "POST", "/v1/explain", {"json": {"user_id": "u", "asset_id": "a"}}),
        ("/v1/search", "GET", "/v1/search?q=x", {}),
        ("/v1/search", "GET", "/v1/search", {}),
        ("/v1/assets/{asset_id}", "PUT", "/v1/assets/a", {"json": ASSET}),
        ("/v1/assets/{asset_id}", "PUT", "/v1/assets/a", {"data": b"{"}),
        ("/v1/assets/{asset_id}", "GET", "/v1/assets/a", {}),
        ("/v1/assets/{asset_id}", "PATCH", "/v1/assets/a", {"json": {}}),
        ("/v1/assets", "GET", "/v1/assets", {}),
        ("/v1/assets/{asset_id}", "DELETE", "/v1/assets/a", {}),
        ("/v1/assets/{asset_id}", "GET", "/v1/assets/a", {}),
        ("/v1/assets:import", "POST", "/v1/assets:import", ndjson),
        ("/v1/assets:preview", "POST", "/v1/assets:preview", {"json": ASSET}),
        ("/v1/coverage", "GET", "/v1/coverage", {}),
        ("/v1/assets/{asset_id}/insight", "GET", "/v1/assets/a/insight", {}),
        ("/v1/assets/{asset_id}/insight", "GET", "/v1/assets/a%2Fb/insight?days=7", {}),
        ("/v1/placements", "GET", "/v1/placements", {}),
        ("/v1/placements/{placement_id}", "PUT", "/v1/placements/p", {"json": {"pin": ["a"]}}),
        ("/v1/placements/{placement_id}", "GET", "/v1/placements/p", {}),
        ("/v1/placements/{placement_id}", "DELETE", "/v1/placements/p", {}),
        ("/v1/placements/{placement_id}:history", "GET", "/v1/placements/p:history", {}),
        ("/v1/placements:preview", "POST", "/v1/placements:preview", {"json": {"rules": {}, "request": {}}}),
        ("/v1/buyers/{buyer_id}", "GET", "/v1/buyers/u", {}),
        ("/v1/buyers/{buyer_id}:export", "GET", "/v1/buyers/u:export", {}),
        ("/v1/buyers/{buyer_id}:erase", "POST", "/v1/buyers/u:erase", {}),
        ("/v1/accounts/{account_id}", "GET", "/v1/accounts/u", {}),
        ("/v1/m", "POST", "/v1/m", {"json": {}}),
        ("/v1/signals:validate", "POST", "/v1/signals:validate", event),
        ("/v1/cloudevents", "POST", "/v1/cloudevents", {"json": {"event": "without its attributes"}}),
        ("/v1/hubspot", "POST", "/v1/hubspot", {"json": []}),
        (
            "/v1/opportunities:import",
            "POST",
            "/v1/opportunities:import",
            {"data": b"opportunity_id,account_id,stage\no-1,acme.example,won\no-2,acme.example,odd\n"},
        ),
        ("/v1/projects/{key}/settings", "GET", f"/v1/projects/{gateway.publishable}/settings", {}),
        ("/v1/projects/{key}/settings", "GET", "/v1/projects/nobody/settings", {}),
        ("/c/{token}", "GET", "/c/forged", {}),
        ("/e/{token}", "GET", "/e/forged", {}),
        ("/e/{token}/open.gif", "GET", "/e/forged/open.gif", {}),
        ("/v1/email/block", "GET", "/v1/email/block?send_id=s&user_id=u", {}),
        ("/v1/email/block", "GET", "/v1/email/block?send_id=s&user_id=u&format=json", {}),
        ("/v1/webhooks/endpoints", "GET", "/v1/webhooks/endpoints", {}),
        ("/v1/webhooks/endpoints/{endpoint_id}", "GET", "/v1/webhooks/endpoints/crm", {}),
        ("/v1/webhooks/endpoints/{endpoint_id}", "PUT", "/v1/webhooks/endpoints/crm", {"json": HOOK}),
        ("/v1/webhooks/endpoints/{endpoint_id}", "DELETE", "/v1/webhooks/endpoints/crm", {}),
        ("/v1/webhooks/endpoints/{endpoint_id}:test", "POST", "/v1/webhooks/endpoints/crm:test", {}),
        ("/v1/webhooks/deliveries", "GET", "/v1/webhooks/deliveries", {}),
        ("/v1/webhooks/deliveries/{delivery_id}:retry", "POST", "/v1/webhooks/deliveries/7:retry", {}),
        ("/widget.js", "GET", "/widget.js", {}),
        ("/widget/preview", "GET", "/widget/preview", {}),
        ("/", "GET", "/", {}),
        ("/docs", "GET", "/docs", {}),
        ("/openapi.json", "GET", "/openapi.json", {}),
        ("/livez", "GET", "/livez", {}),
        ("/readyz", "GET", "/readyz", {}),
    ]
    long = ("track", "page", "screen", "identify", "group", "alias", "batch", "import")
    found += [(f"/v1/{p}", "POST", f"/v1/{p}", event) for p in (*long, "t", "p", "s", "i", "g", "a", "b")]
    found.append(("/v1/batch", "POST", "/v1/batch", {"data": gzip.compress(b"")}))
    return found


def check(document: dict[str, Any], path: str, method: str, answer: Any) -> None:
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(answer.status_code) in responses, (path, method, answer.status_code, answer.get_data())
    content = responses[str(answer.status_code)].get("content")
    if not content:
        assert answer.get_data() == b""
        return
    assert answer.mimetype in content, (path, method, answer.mimetype)
    schema = content[answer.mimetype].get("schema")
    if schema is None:
        return
    validator = Draft202012Validator({**schema, "components": document["components"]})
    many = answer.mimetype == "application/x-ndjson"
    for line in answer.get_data().splitlines() if many else [answer.get_data()]:
        validator.validate(orjson.loads(line))


def test_every_answer_is_as_the_contract_says(gateway: Gateway) -> None:
    document = gateway.app.extensions["openapi"]()
    seen = set()
    for path, method, address, sent in examples(gateway):
        answer = gateway.client.open(address, method=method, headers=gateway.headers(), **sent)
        check(document, path, method, answer)
        seen.add((path, method))
    written = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert written - seen == {("/v1/assets:upload", "POST")}  # sent as a form in the relay's own tests


@pytest.mark.parametrize("trouble", ["publishable", "503", "nonsense"])
def test_answers_stay_within_the_contract_on_bad_days(gateway: Gateway, trouble: str) -> None:
    document = gateway.app.extensions["openapi"]()
    gateway.recommender.status = 503 if trouble == "503" else 200
    gateway.recommender.nonsense = trouble == "nonsense"
    key = gateway.publishable if trouble == "publishable" else gateway.secret
    for path, sent in (
        ("recommendations", {"json": {"anonymous_id": "a"}}),
        ("track", {"json": {"event": "x"}}),
    ):
        answer = gateway.client.post(f"/v1/{path}", headers=gateway.headers(key), **sent)
        check(document, f"/v1/{path}", "POST", answer)
