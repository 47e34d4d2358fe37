"""Assets and buyers pass through as they are: ids, headers, conditions, streams of any length."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

import orjson
import pytest

from unit.gateway.gateway_fixtures import Gateway, make_gateway
from unit.gateway.gateway_stand_in import StandIn, serve

ASSET = b'{"title":"T","url":"https://www.example.com/t"}'
AWKWARD_IDS = [
    "plain", "a/b", "/leading", "trailing/", "//", "a//b", "a/../b", "...", ".hidden", "a.b.json", "100%",
    "%2F", "%252F", "a b", "a+b", "a?b#c", "a;b=c&d", "ünïcödé", "日本語/資料", "😀", "a:import", "a:export",
    'quote"and\\back', "<script>", "x" * 200,
]  # fmt: skip


@pytest.mark.parametrize("asset_id", AWKWARD_IDS)
def test_any_printable_id_arrives_as_it_was_meant(gateway: Gateway, asset_id: str) -> None:
    path = "/v1/assets/" + quote(asset_id, safe="")
    stored = gateway.client.put(path, data=ASSET, headers=gateway.headers())
    assert (stored.status_code, stored.json["id"]) == (201, asset_id)
    seen = gateway.recommender.last(f"/v1/assets/{asset_id}")
    assert (seen["raw"], seen["body"]) == (path, ASSET)
    assert gateway.client.get(path, headers=gateway.headers()).json["id"] == asset_id
    assert gateway.client.delete(path, headers=gateway.headers()).status_code == 204
    assert gateway.client.get(path, headers=gateway.headers()).status_code == 404


@pytest.mark.parametrize("raw", ["%2E%2E", "%00", "a%0Ab", "%C2%80", "x" * 201])
def test_what_no_id_can_be_is_a_422(gateway: Gateway, raw: str) -> None:
    answer = gateway.client.get(f"/v1/assets/{raw}", headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (422, "id_invalid")


def test_a_path_that_is_not_utf8_is_a_400(gateway: Gateway) -> None:
    broken = {"PATH_INFO": "/v1/assets/\xff"}
    answer = gateway.client.get("/", headers=gateway.headers(), environ_overrides=broken)
    assert (answer.status_code, answer.json["code"]) == (400, "path_malformed")


def test_the_words_after_a_colon_are_not_swallowed_by_ids(gateway: Gateway) -> None:
    for method, path in (
        ("GET", "/v1/buyers/a%2Fb:export"),
        ("POST", "/v1/buyers/a%2Fb:erase"),
        ("POST", "/v1/assets:preview"),
    ):
        answer = gateway.client.open(path, method=method, json={}, headers=gateway.headers())
        assert answer.status_code == 200
        assert gateway.recommender.last(unquote(path))["raw"] == path
    assert gateway.client.get("/v1/buyers/ü", headers=gateway.headers()).json["user_id"] == "ü"
    assert gateway.client.get("/v1/accounts/a%2Fb", headers=gateway.headers()).json["account_id"] == "a/b"


def test_conditions_and_etags_pass_both_ways(gateway: Gateway) -> None:
    stored = gateway.client.put("/v1/assets/a", data=ASSET, headers=gateway.headers())
    assert stored.headers["ETag"] == '"1"'
    same = gateway.client.get("/v1/assets/a", headers=gateway.headers(**{"If-None-Match": '"1"'}))
    assert (same.status_code, same.get_data()) == (304, b"")
    changed = gateway.client.patch("/v1/assets/a", json={}, headers=gateway.headers(**{"If-Match": '"9"'}))
    assert (changed.status_code, changed.json["code"]) == (412, "precondition_failed")


def test_the_key_is_not_passed_on_and_the_query_is(gateway: Gateway) -> None:
    headers = gateway.headers(**{"X-Request-ID": "req-1", "Cookie": "session=1"})
    answer = gateway.client.get("/v1/assets?q=%C3%BC&page_size=2", headers=headers)
    seen = gateway.recommender.last("/v1/assets")
    assert answer.headers["X-Request-ID"] == "req-1"
    assert seen["headers"]["X-Request-Id"] == "req-1"
    assert not {"Authorization", "Cookie"} & set(seen["headers"])
    assert seen["query"] == "q=%C3%BC&page_size=2"


@pytest.mark.parametrize("status", [500, 503])
def test_a_problem_of_the_recommender_is_relayed_with_its_retry_after(gateway: Gateway, status: int) -> None:
    gateway.recommender.status = status
    answer = gateway.client.get("/v1/assets/a", headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (status, "told_to")
    assert answer.headers.get("Retry-After") == ("3" if status == 503 else None)


def test_no_recommender_at_all_is_a_503_with_retry_after() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    gateway = make_gateway(StandIn(url=f"http://127.0.0.1:{port}"))
    for method, path in (("PUT", "/v1/assets/a"), ("POST", "/v1/assets:import"), ("GET", "/v1/coverage")):
        answer = gateway.client.open(path, method=method, data=ASSET, headers=gateway.headers())
        assert (answer.status_code, answer.json["code"]) == (503, "upstream_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    assert gateway.client.get("/readyz").status_code == 200


def test_files_pass_through_as_they_were_sent(gateway: Gateway) -> None:
    data = {"files": [(io.BytesIO(b"%PDF-1"), "a.pdf"), (io.BytesIO(b"# T"), "ü.md")]}
    answer = gateway.client.post("/v1/assets:upload", data=data, headers=gateway.headers())
    lines = [orjson.loads(line) for line in answer.get_data().splitlines()]
    assert [(line["filename"], line["detail"]) for line in lines] == [("a.pdf", "6"), ("ü.md", "3")]


def test_an_upload_of_50_mb_is_a_413(gateway: Gateway) -> None:
    headers = gateway.headers(**{"Content-Type": "multipart/form-data; boundary=x"})
    answer = gateway.client.post("/v1/assets:upload", data=b"x" * (50 * 1024 * 1024), headers=headers)
    assert (answer.status_code, answer.json["code"]) == (413, "payload_too_large")
    assert "32 MB" in answer.json["detail"]


def rows(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b'{"id":"%d","title":"T","url":"https://www.example.com/%d"}\n' % (number, number)


@pytest.mark.slow
def test_an_import_larger_than_any_buffer_flows_even_to_a_client_that_reads_last(gateway: Gateway) -> None:
    """60,000 rows make 15 MB of results: without the spool both sides would wait for one another."""
    with serve(gateway.app) as url:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.request(
            "POST",
            "/v1/assets:import",
            body=(b"".join(rows(60_000))),
            headers=gateway.headers(**{"Content-Type": "application/x-ndjson"}),
        )
        answer = connection.getresponse()
        lines = answer.read().splitlines()
        connection.close()
    assert answer.status == 200
    assert len(lines) == 60_000
    assert orjson.loads(lines[-1])["line"] == 60_000


def test_an_import_that_is_refused_early_still_gets_its_answer(gateway: Gateway) -> None:
    with serve(gateway.app) as url:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        headers = gateway.headers(**{"Content-Type": "image/png"})
        connection.request("POST", "/v1/assets:import", body=b"x" * 5_000_000, headers=headers)
        answer = connection.getresponse()
        assert (answer.status, orjson.loads(answer.read())["code"]) == (415, "unsupported_media_type")
        connection.close()


def test_results_come_while_rows_are_still_being_sent(gateway: Gateway) -> None:
    with serve(gateway.app) as url:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as plain:
            head = f"POST /v1/assets:import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}\r\n"
            body = b"".join(rows(2000))
            plain.sendall(f"{head}Content-Length: {len(body) * 2}\r\n\r\n".encode() + body)
            received = b""
            while b'"line":1000' not in received:  # the second half has not been sent
                chunk = plain.recv(65536)
                assert chunk
                received += chunk
            plain.sendall(body)
            while chunk := plain.recv(65536):
                received += chunk
            assert b'"line":4000' in received


def import_threads(wanted: bool) -> list[threading.Thread]:
    """Those of imports, once there are some or none, as is wanted; after ten seconds whatever there is."""
    pause = threading.Event()
    for _ in range(200):
        found = [t for t in threading.enumerate() if t.name.startswith("import-")]
        if bool(found) is wanted:
            break
        pause.wait(0.05)
    return found


def test_a_client_that_breaks_off_leaves_no_thread_behind(gateway: Gateway) -> None:
    with serve(gateway.app) as url:
        parts = urlsplit(url)
        for _ in range(3):
            with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as plain:
                head = f"POST /v1/assets:import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}"
                plain.sendall(f"{head}\r\nContent-Length: 1000000\r\n\r\n".encode() + b"{}\n")
                assert import_threads(wanted=True)  # it breaks off in the middle, and not before it has begun
            assert not import_threads(wanted=False)
        assert gateway.client.get("/v1/coverage", headers=gateway.headers()).status_code == 200
    assert not gateway.parts.recommender.is_away


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/v1/assets/a%2Finsight", "/v1/assets/a%2Finsight"),
        ("GET", "/v1/assets/a%2Finsight/insight", "/v1/assets/a%2Finsight/insight"),
        ("GET", "/v1/buyers/a%3Aexport", "/v1/buyers/a%3Aexport"),
        ("GET", "/v1/buyers/a%3aexport:export", "/v1/buyers/a%3Aexport:export"),
    ],
)
def test_an_id_may_end_like_an_address(gateway: Gateway, method: str, path: str, asked: str) -> None:
    gateway.client.put("/v1/assets/a%2Finsight", data=ASSET, headers=gateway.headers())
    answer = gateway.client.open(path, method=method, headers=gateway.headers())
    assert answer.status_code == 200, answer.get_data()
    assert gateway.recommender.seen[-1]["raw"].partition("?")[0] == asked


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/assets/a/insight", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/placements/p:history", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/buyers/u:erase", "OPTIONS, POST"),
    ],
)
def test_an_address_is_never_taken_for_an_id(gateway: Gateway, method: str, path: str, allowed: str) -> None:
    answer = gateway.client.open(path, method=method, json={}, headers=gateway.headers())
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == gateway.client.options(path).headers["Allow"] == allowed
    assert gateway.recommender.seen == []
