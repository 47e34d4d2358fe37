"""No personal data in what operators see: planted people are driven through everything, and then looked for.

What is searched: the metrics of all services, every line that they and PostgreSQL logged since the stack was
started (so what the other tests of this file's worker did counts too), and every error that was answered.
"""

from __future__ import annotations

import gzip
import io
import socket
from urllib.parse import quote

import orjson
import pytest
import urllib3

from e2e.foreword_process import Answer, Api
from foreword_dev.stack import Stack

pytestmark = pytest.mark.slow

WHO = "planted.maria@firm.example"
DEVICE = "planted-device-of-maria-77aa"
NAME = "Maria Plantedsdottir"
PHONE = "+49 170 5550143"
FRIEND = "planted.friend@mail.example"
PLANTED = (WHO, DEVICE, NAME, PHONE, FRIEND)
JSON = {"Content-Type": "application/json"}


def spellings(text: str) -> set[bytes]:
    return {text.encode(), quote(text).encode(), quote(text, safe="").encode(), text.lower().encode()}


def named_in(data: bytes) -> set[str]:
    return {text for text in PLANTED if any(form in data for form in spellings(text))}


def events() -> list[dict[str, object]]:
    """Good ones and broken ones, with people in every place where people stand."""
    traits = {"email": WHO, "name": NAME, "phone": PHONE}
    return [
        {"type": "identify", "userId": WHO, "anonymousId": DEVICE, "traits": traits, "messageId": f"{WHO}-1"},
        {"type": "track", "userId": WHO, "event": f"{NAME} clicked", "properties": {"by": FRIEND}},
        {"type": "page", "anonymousId": DEVICE, "context": {"page": {"url": f"https://e.example/{WHO}"}}},
        {"type": "group", "userId": WHO, "groupId": f"account of {NAME}", "traits": {"contact": WHO}},
        {"type": "alias", "previousId": FRIEND, "userId": WHO},
        {"type": "purchase", "userId": WHO, "note": NAME},
        {"type": "track", "userId": [WHO], "event": "x"},
        {"type": "track", "userId": WHO},
        {"type": "track", "userId": WHO, "event": "x", "timestamp": NAME},
        {"type": "track", "userId": WHO, "event": "x", "properties": {"asset_id": [WHO]}},
        {"type": [NAME], "userId": WHO},
        {"type": "page", "userId": WHO, "note": "nul \u0000 " + NAME},
    ]


def drive(api: Api, browser: Api, nobody: Api) -> list[Answer]:
    """Every address of the API that can hold a person, rightly and wrongly asked."""
    buyer, device = quote(WHO, safe=""), quote(DEVICE, safe="")
    found = [api.post("/v1/batch", {"batch": events()})]
    found += [api.post(f"/v1/{e['type']}", e) for e in events() if isinstance(e["type"], str)]
    broken = orjson.dumps(events()[0])[:-5]
    for path in ("/v1/identify", "/v1/batch", "/v1/recommendations", "/v1/explain", "/v1/cloudevents"):
        found += [client.send("POST", path, broken, JSON) for client in (api, browser, nobody)]
        found.append(api.send("POST", path, gzip.compress(broken)[:-9], {**JSON, "Content-Encoding": "gzip"}))
    found.append(api.send("POST", "/v1/track", broken + b"x" * 40_000, JSON))
    found.append(api.post("/v1/signals:validate?kind=batch", {"batch": events()}))
    for asked in (
        {"user_id": WHO},
        {"user_id": WHO, "user_token": NAME},
        {"user_id": WHO, "count": NAME},
        {"user_id": [WHO], "anonymous_id": {"a": DEVICE}},
        {"user_id": WHO, "filter": {"must": [{"field": NAME, "any_of": [WHO]}]}},
        {"user_id": WHO, "filter": {"must": [{"field": "stage", "any_of": [WHO]}]}},
        {"user_id": WHO, "context": {"query": f"what {NAME} reads", "url": f"https://e.example/{WHO}"}},
        {"user_id": WHO, "as_of": NAME, "placement": WHO},
        {"anonymous_id": DEVICE, "account_id": NAME, "explain": "full"},
        {"user_id": WHO + "\u0000"},
    ):
        found += [api.post("/v1/recommendations", asked), browser.post("/v1/recommendations", asked)]
        found.append(api.post("/v1/explain", {**asked, "asset_id": WHO}))
        lines = orjson.dumps(asked) + b"\n{" + WHO.encode()
        found.append(api.send("POST", "/v1/recommendations:batch", lines,
                              {"Content-Type": "application/x-ndjson"}))  # fmt: skip
    query = f"user_id={buyer}&anonymous_id={device}&context.query={quote(NAME)}"
    for path in (
        "/v1/recommendations",
        "/v1/email/block",
        "/v1/search",
        "/e/" + buyer,
        "/c/" + buyer,
        "/o/x",
    ):
        found += [
            c.send("GET", f"{path}?{query}&q={quote(NAME)}&send_id={buyer}&slot=1") for c in (api, nobody)
        ]
        found.append(api.send("GET", f"{path}?{query}&count={buyer}&filter={quote(NAME)}"))
    for path in ("buyers", "accounts"):
        for rest in ("", ":export", ":nothing", "/and/more", "?" + query):
            found += [c.send("GET", f"/v1/{path}/{buyer}{rest}") for c in (api, browser, nobody)]
        found.append(api.send("DELETE", f"/v1/{path}/{buyer}"))
    found.append(api.send("GET", f"/v1/buyers/{'x' * 300}{buyer}"))
    found.append(api.upload(f"{WHO}.pdf", b"%PDF-1.7 " + NAME.encode()))
    found.append(api.upload(f"{WHO}.docx", b"PK\x03\x04" + NAME.encode()))
    found.append(api.rows(f"id,title\n{WHO},{NAME}\n,\n".encode(), "text/csv"))
    found.append(api.rows(b'{"id": "' + WHO.encode() + b'"\n', "application/x-ndjson"))
    found.append(api.send("PUT", f"/v1/assets/{buyer}", broken, {**JSON, "If-Match": WHO}))
    found.append(api.send("GET", f"/v1/assets?page_token={buyer}&type={quote(NAME)}&stage={buyer}"))
    found.append(api.send("POST", "/v1/hubspot", broken, JSON))
    found.append(
        api.send(
            "POST", "/v1/opportunities:import", f"a,{WHO}\n{NAME}".encode(), {"Content-Type": "text/csv"}
        )
    )
    table = f"opportunity_id,account_id,stage,user_id\n1,{NAME},won,{WHO}\n2,{NAME},{WHO},x\n"
    found.append(api.send("POST", "/v1/opportunities:import", table.encode(), {"Content-Type": "text/csv"}))
    cloud = {"specversion": "1.0", "type": NAME, "source": WHO, "id": WHO, "userid": WHO, "data": events()[0]}
    found.append(
        api.send(
            "POST", "/v1/cloudevents", orjson.dumps(cloud), {"Content-Type": "application/cloudevents+json"}
        )
    )
    strange = {
        "X-Request-ID": WHO,
        "traceparent": WHO,
        "User-Agent": NAME,
        "Referer": f"https://e.example/{WHO}",
    }
    found.append(api.send("GET", "/v1/assets?page_size=1", headers=strange))
    found.append(nobody.send("GET", "/v1/assets", headers={"Authorization": f"Bearer {WHO}"}))
    found.append(nobody.send("POST", "/studio/sign-in", f"email={buyer}&password={NAME}".encode(),
                             {"Content-Type": "application/x-www-form-urlencoded"}))  # fmt: skip
    found.append(api.send("GET", f"/{buyer}/{device}"))
    found.append(api.send("POST", f"/v1/buyers/{buyer}:erase"))
    return found


def raw(port: int, line: bytes) -> bytes:
    """A request that no library would send."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        out = io.BytesIO()
        while piece := connection.recv(65_536):
            out.write(piece)
    return out.getvalue()


def test_planted_people_are_in_no_metric_no_log_line_and_no_error(stack: Stack, api: Api) -> None:
    answers = drive(api, Api(api.url, stack.keys["publishable"]), Api(api.url, None))
    refused = [answer for answer in answers if answer.status >= 400]
    assert len(refused) > 60, "most of these are wrong on purpose"
    for answer in refused:
        assert answer.status < 500 or answer.status == 503, answer.body
        # `:validate` and results of files answer 200; an error never says who was meant.
        assert not named_in(answer.body), answer.body
        assert not named_in(orjson.dumps(dict(answer.headers))), answer.headers
    unreadable = raw(stack.settings.gateway.service, b"GET /v1/search?q=\xff" + WHO.encode() + b" HTTP/1.1")
    assert b"500" not in unreadable.split(b"\r\n")[0]
    for port in (stack.settings.gateway, stack.settings.recommender):
        assert b" 400 " in raw(port.service, b"GET /" + WHO.encode() + b" NONSENSE").split(b"\r\n")[0]
    looked_at = 0
    for port in (stack.settings.gateway, stack.settings.recommender, stack.settings.embedder):
        metrics = urllib3.request("GET", f"http://127.0.0.1:{port.metrics}/metrics", retries=False).data
        assert not named_in(metrics), [line for line in metrics.splitlines() if named_in(line)]
        looked_at += metrics.count(b"\n")
    for path in sorted(stack.settings.data_dir.rglob("*")):
        is_log = path.suffix == ".log" or path.name == "log"
        if path.is_file() and is_log:
            data = path.read_bytes()
            assert not named_in(data), (path.name, [line for line in data.splitlines() if named_in(line)][:3])
            looked_at += data.count(b"\n")
    assert looked_at > 500
