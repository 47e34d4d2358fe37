"""What clients get wrong, sent through the gateway: a clear problem each time, nothing lost, never a 5xx."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import urllib3
from pypdf import PdfReader, PdfWriter

from e2e.foreword_process import REPOSITORY, Answer, Api, metric, wait_until
from foreword_dev.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]

JSON = {"Content-Type": "application/json"}
PAPER = REPOSITORY / "sample/content/papers/datasheet-probe-p3.pdf"
DOCUMENT = REPOSITORY / "sample/content/documents/buyers-guide-monitoring.docx"


def problem(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The problem document of a refusal, complete and with one of these statuses."""
    assert answer.status in statuses, (answer.status, answer.body)
    assert answer.headers["content-type"].startswith("application/problem+json")
    found: dict[str, Any] = answer.json()
    for name in ("type", "title", "status", "detail", "instance", "code", "message", "request_id"):
        assert found.get(name) not in (None, ""), (name, found)
    assert found["status"] == answer.status
    assert found["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.body.decode()
    return found


def pointers(found: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in found["errors"]}


# JSON bodies


WRITES = [
    ("PUT", "/v1/assets/bad-json"),
    ("PATCH", "/v1/assets/trial-starter-kit"),
    ("POST", "/v1/recommendations"),
    ("POST", "/v1/explain"),
    ("POST", "/v1/track"),
    ("POST", "/v1/batch"),
    ("POST", "/v1/identify"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"title": "x", ', "json_malformed"),
        (b"\xff\xfe{}", "json_malformed"),
        (b"", "body_empty"),
        (b"[1, 2]", "json_not_an_object"),
        (b'"text"', "json_not_an_object"),
    ],
)
def test_a_body_that_is_no_json_object(api: Api, method: str, path: str, body: bytes, code: str) -> None:
    assert problem(api.send(method, path, body, JSON), 400)["code"] == code


def test_deep_nesting_is_refused(api: Api) -> None:
    body = b'{"title":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    problem(api.send("PUT", "/v1/assets/deep", body, JSON), 400, 413, 422)


@pytest.mark.parametrize(("method", "path"), WRITES[:4])
def test_unknown_fields_are_named(api: Api, method: str, path: str) -> None:
    body = {"title": "x", "url": "https://www.example.com/", "asset_id": "x", "colour": "red"}
    if method == "POST":
        body = {"user_id": "u", "asset_id": "trial-starter-kit", "colour": "red"}
        if path.endswith("recommendations"):
            del body["asset_id"]
    else:
        del body["asset_id"]
    found = problem(api.send(method, path, orjson.dumps(body), JSON), 400, 422)
    assert "/colour" in pointers(found)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"title": 7}, "/title"),
        ({"title": ""}, "/title"),
        ({"title": None}, "/title"),
        ({"url": "javascript:alert(1)"}, "/url"),
        ({"url": "not a url"}, "/url"),
        ({"topics": "one"}, "/topics"),
        ({"stages": {"consideration": "much"}}, "/stages/consideration"),
        ({"stages": {"nowhere": 1}}, "/stages/nowhere"),
        ({"status": "published"}, "/status"),
        ({"publish_at": "yesterday"}, "/publish_at"),
        ({"metadata": []}, "/metadata"),
        ({"title": "nul \x00 in it"}, "/title"),
    ],
)
def test_wrong_types_and_values_are_named(api: Api, fields: dict[str, Any], pointer: str) -> None:
    found = problem(api.put_asset("wrong-type", **fields), 422)
    assert any(p == pointer or p.startswith(pointer + "/") for p in pointers(found)), found
    problem(api.get_asset("wrong-type"), 404)


@pytest.mark.parametrize("count", [0, 1_000, -1, "many", 2.5, None])
def test_count_out_of_its_bounds(api: Api, count: Any) -> None:
    found = problem(api.post("/v1/recommendations", {"user_id": "u", "count": count}), 422)
    assert pointers(found) == {"/count"}


def test_count_in_the_query_out_of_its_bounds(api: Api) -> None:
    for count in ("0", "1000", "x"):
        problem(api.send("GET", f"/v1/recommendations?user_id=u&count={count}"), 400, 422)


def test_an_unknown_filter_field_is_a_400(api: Api) -> None:
    tree = {"must": [{"field": "colour", "any_of": ["red"]}]}
    found = problem(api.post("/v1/recommendations", {"user_id": "u", "filter": tree}), 400)
    assert "unknown field" in found["detail"]
    assert pointers(found) == {"/filter/must/0/field"}


# Ids


IDS = [
    "a/b",
    "a/b/c d",
    "ä ö ü",
    "日本語",
    "100%",
    "a?b#c",
    "x:export",
    "emoji 🧊",
    "..%2f",
    "a\\b",
    "+",
    "'\"<>",
]


@pytest.mark.parametrize("asset_id", IDS)
def test_ids_of_any_printable_text_work_everywhere(api: Api, asset_id: str) -> None:
    stored = api.put_asset(asset_id, title=f"Asset named {asset_id}")
    assert stored.status in (200, 201), stored.body
    assert stored.json()["id"] == asset_id
    assert api.get_asset(asset_id).json()["id"] == asset_id
    assert asset_id in api.recommended(user_id="id-tester", count=50, filter=_url_of_id(asset_id))
    assert api.send("DELETE", f"/v1/assets/{quote(asset_id, safe='')}").status == 204
    problem(api.get_asset(asset_id), 404)


def _url_of_id(asset_id: str) -> dict[str, Any]:
    """Only what was published in the last minutes: the asset under test is among it."""
    since = datetime.now(UTC) - timedelta(minutes=5)
    return {"must": [{"field": "published_at", "from": since.isoformat().replace("+00:00", "Z")}]}


# `…:export` is an address of its own under a buyer.
@pytest.mark.parametrize("buyer_id", [one for one in IDS if not one.endswith(":export")])
def test_buyers_have_such_ids_too(api: Api, buyer_id: str) -> None:
    assert api.track(buyer_id, "Content Viewed", properties={"asset_id": "pricing"}).status == 200
    found = api.send("GET", f"/v1/buyers/{quote(buyer_id, safe='')}")
    assert found.status == 200, found.body
    assert buyer_id in found.body.decode() or orjson.dumps(buyer_id)[1:-1] in found.body


@pytest.mark.parametrize("asset_id", ["x" * 201, "tab\there", "line\nbreak", "\x00", "."])
def test_ids_that_are_none(api: Api, asset_id: str) -> None:
    problem(api.put_asset(asset_id), 400, 404, 405, 422)


def test_an_id_that_is_not_utf_8(api: Api) -> None:
    problem(api.send("GET", "/v1/assets/%ff%fe"), 400)


# Uploads


def upload_failed(answer: Answer) -> dict[str, Any]:
    """A file that cannot be read is a result, and its neighbours are stored."""
    assert answer.status == 200, answer.body
    result: dict[str, Any] = answer.json()["results"][0]
    assert result["result"] == "failed"
    assert result["code"]
    assert result["detail"]
    return result


def resident(stack: Stack) -> dict[str, float]:
    ports = {"gateway": stack.settings.gateway.metrics, "recommender": stack.settings.recommender.metrics}
    return {name: metric(port, "process_resident_memory_bytes") for name, port in ports.items()}


def test_an_upload_of_50_mb_is_refused_without_being_held(api: Api, stack: Stack) -> None:
    api.upload("small.txt", b"A small text first, so that what is loaded on first use is loaded. " * 20)
    before = resident(stack)
    found = problem(api.upload("huge.txt", b"x" * (50 * 1024 * 1024)), 413)
    assert "MB" in found["detail"]
    growth = {name: (after - before[name]) / 1024**2 for name, after in resident(stack).items()}
    assert all(grown < 40 for grown in growth.values()), growth


def test_50_mb_without_a_length_are_refused_too(api: Api, stack: Stack) -> None:
    before = resident(stack)
    boundary = "b" * 30
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="h.txt"\r\n\r\n'.encode()
    blocks = iter([head, *([b"x" * (1024 * 1024)] * 50), f"\r\n--{boundary}--\r\n".encode()])
    response = urllib3.request(
        "POST",
        api.url + "/v1/assets:upload",
        body=blocks,
        headers={
            "Authorization": f"Bearer {api.key}",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        },
        retries=False,
        timeout=60,
    )
    headers = {k.lower(): v for k, v in response.headers.items()}
    problem(Answer(response.status, headers, response.data), 413)
    growth = {name: (after - before[name]) / 1024**2 for name, after in resident(stack).items()}
    assert all(grown < 64 for grown in growth.values()), growth


def test_a_50_mb_body_for_one_asset(api: Api) -> None:
    problem(api.send("PUT", "/v1/assets/huge", b"x" * (50 * 1024 * 1024), JSON), 413)


def test_a_pdf_without_text(api: Api) -> None:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    data = io.BytesIO()
    writer.write(data)
    assert "text" in upload_failed(api.upload("scan.pdf", data.getvalue()))["detail"]


def test_an_encrypted_pdf(api: Api) -> None:
    writer = PdfWriter(clone_from=PdfReader(PAPER))
    writer.encrypt("a password", algorithm="RC4-128")
    data = io.BytesIO()
    writer.write(data)
    detail = upload_failed(api.upload("secret.pdf", data.getvalue()))["detail"]
    assert "password" in detail or "encrypted" in detail


def test_a_docx_that_is_a_zip_bomb(api: Api, stack: Stack) -> None:
    data = io.BytesIO()
    with (
        zipfile.ZipFile(DOCUMENT) as good,
        zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bomb,
    ):
        for info in good.infolist():
            if info.filename != "word/document.xml":
                bomb.writestr(info.filename, good.read(info))
        with bomb.open("word/document.xml", "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(b" " * (1024 * 1024))
    assert len(data.getvalue()) < 1024**2
    before = resident(stack)
    upload_failed(api.upload("bomb.docx", data.getvalue()))
    growth = {name: (after - before[name]) / 1024**2 for name, after in resident(stack).items()}
    assert all(grown < 40 for grown in growth.values()), growth


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("broken.pdf", PAPER.read_bytes()[:2000]),
        ("broken.docx", DOCUMENT.read_bytes()[:2000]),
        ("named.pdf", b"MZ\x90\x00 this is a program and no paper"),
        ("empty.txt", b""),
        ("nothing.html", b"<html><body></body></html>"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(api: Api, name: str, data: bytes) -> None:
    upload_failed(api.upload(name, data))


def test_a_bad_file_does_not_spoil_its_neighbours(api: Api) -> None:
    body, content_type = urllib3.encode_multipart_formdata(
        [
            ("files", ("bad.pdf", b"%PDF-1.7 and no more")),
            (
                "files",
                ("good-neighbour.md", b"# A good neighbour\n\nIt stands beside a broken one, and is stored."),
            ),
            ("base_url", "https://www.example.com/files"),
        ]
    )
    answer = api.send("POST", "/v1/assets:upload", body, {"Content-Type": content_type})
    assert [r["result"] for r in answer.json()["results"]] == ["failed", "stored"]
    assert api.get_asset("good-neighbour").status == 200


def test_html_with_scripts_is_cleaned(api: Api) -> None:
    page = b"""<html><head><title>Safe reading</title><script>alert('head')</script></head><body>
    <article><h1>Safe reading</h1><p onclick="steal()">What a reader sees of this page is text, and enough of
    it that somebody could call it an article about cold stores and their doors.</p>
    <script>document.location='https://evil.example'</script>
    <p>A second paragraph says more about doors that stand open, and what that costs in a year.</p>
    <img src=x onerror="alert(2)"></article></body></html>"""
    answer = api.upload("scripts.html", page, id="html-with-scripts")
    assert answer.json()["results"][0]["result"] == "stored", answer.body
    stored = api.get_asset("html-with-scripts").body.decode()
    assert "cold stores" in stored
    for bad in ("alert(", "<script", "onclick", "onerror", "evil.example"):
        assert bad not in stored
    put = api.put_asset("html-body", body="<p>Plain words stay.</p><script>alert(3)</script>")
    assert put.status in (200, 201)
    assert "alert(3)" not in api.get_asset("html-body").body.decode()
    assert "Plain words stay." in api.get_asset("html-body").json()["body"]


def test_an_upload_without_files_or_of_another_kind(api: Api) -> None:
    problem(api.send("POST", "/v1/assets:upload", b"", {"Content-Type": "multipart/form-data"}), 400)
    problem(api.send("POST", "/v1/assets:upload", b"{}", JSON), 400, 415)


# Rows


def imported(api: Api, data: bytes, content_type: str = "text/csv") -> list[dict[str, Any]]:
    answer = api.rows(data, content_type)
    assert answer.status == 200, answer.body
    return answer.lines()


def test_a_csv_with_a_bom_semicolons_and_quoted_newlines(api: Api) -> None:
    text = '\ufeffid;title;url;summary\r\ncsv-1;"Türen; offen";https://www.example.com/csv-1;"zwei\r\nZeilen"\r\n'
    assert [r["result"] for r in imported(api, text.encode())] == ["stored"]
    stored = api.get_asset("csv-1").json()
    assert stored["title"] == "Türen; offen"
    assert stored["summary"].split() == ["zwei", "Zeilen"]


def test_a_csv_in_latin_1(api: Api) -> None:
    text = "id,title,url\ncsv-latin,Kühlhäuser für Käse,https://www.example.com/csv-latin\n"
    assert [r["result"] for r in imported(api, text.encode("latin-1"))] == ["stored"]
    assert api.get_asset("csv-latin").json()["title"] == "Kühlhäuser für Käse"


@pytest.mark.parametrize("content_type", ["text/csv", "application/x-ndjson"])
def test_a_row_without_an_id_spoils_no_other(api: Api, content_type: str) -> None:
    url = "https://www.example.com/"
    if content_type == "text/csv":
        data = f"id,title,url\nrow-1,One,{url}1\n,Two,{url}2\nrow-3,Three,{url}3\n".encode()
    else:
        rows = [{"id": "row-1", "title": "One"}, {"title": "Two"}, {"id": "row-3", "title": "Three"}]
        data = b"".join(orjson.dumps({**row, "url": url + row["title"]}) + b"\n" for row in rows)
    results = imported(api, data, content_type)
    assert [r["result"] for r in results] in (
        ["stored", "failed", "stored"],
        ["unchanged", "failed", "unchanged"],
        ["stored", "failed", "unchanged"],
    )
    assert "id" in results[1]["detail"]
    assert api.get_asset("row-3").status == 200


def test_rows_that_are_no_json_are_told_by_their_line(api: Api) -> None:
    good = orjson.dumps({"id": "nd-1", "title": "Good", "url": "https://www.example.com/nd-1"})
    results = imported(api, b'{"id": "nd-0",\n' + good + b"\n[1]\n", "application/x-ndjson")
    assert [r["result"] for r in results] == ["failed", "stored", "failed"]
    assert [r["line"] for r in results] == [1, 2, 3]


def test_an_import_that_is_no_text_says_so(api: Api) -> None:
    results = imported(api, b"\x00\x01\x02", "application/octet-stream")
    assert [r["result"] for r in results] == ["failed"]
    assert "CSV" in results[0]["detail"]


def test_an_empty_import(api: Api) -> None:
    answer = api.rows(b"", "text/csv")
    if answer.status != 200:
        problem(answer, 400)


# Times


def test_a_signal_from_the_future_is_kept_and_does_no_harm(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=400)).isoformat().replace("+00:00", "Z")
    assert (
        api.track("future", "Content Viewed", timestamp=later, properties={"asset_id": "pricing"}).status
        == 200
    )
    found = api.send("GET", "/v1/buyers/future")
    assert found.status == 200
    assert "pricing" in found.body.decode()
    assert api.recommended(user_id="future")


def test_a_time_that_is_none_goes_to_the_dead_letters_and_not_further(api: Api, stack: Stack) -> None:
    port = stack.settings.recommender.metrics
    before = metric(port, "foreword_recommender_dead_letters_total")
    batch = [
        {"type": "track", "userId": "times", "event": "Content Viewed", "timestamp": "half past nine"},
        {"type": "track", "event": "nobody did this"},
        "no event at all",
        {"type": "track", "userId": "times", "event": "Pricing Viewed"},
    ]
    assert api.post("/v1/batch", {"batch": batch}).body == b'{"success": true}'
    assert metric(port, "foreword_recommender_dead_letters_total") >= before + 2
    assert "pricing" in api.send("GET", "/v1/buyers/times").body.decode().lower()


def test_an_asset_of_the_future_is_not_shown_yet(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat().replace("+00:00", "Z")
    assert api.put_asset("tomorrow", publish_at=later).status in (200, 201)
    assert "tomorrow" not in api.recommended(user_id="reader", count=50)


# Keys


def made_key(stack: Stack, *scopes: str) -> tuple[str, str]:
    """→ (key, its id)"""
    scope_options = [part for scope in scopes for part in ("--scope", scope)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "servicekit.cli",
            "keys",
            "create",
            "--name",
            "test",
            "--json",
            *scope_options,
        ],
        env={**_environment(), "DATABASE_URL": stack.database_url},
        capture_output=True,
        check=True,
    )
    made = orjson.loads(done.stdout)
    return made["key"], made["key_id"]


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_no_key_and_a_wrong_key(api: Api) -> None:
    for key, code in ((None, "key_missing"), ("fw_sk_" + "x" * 43, "key_unknown"), ("ä", "key_unknown")):
        client = Api(api.url, None)
        headers = {**JSON, **({"Authorization": f"Bearer {key}".encode().decode("latin-1")} if key else {})}
        answer = client.send("POST", "/v1/recommendations", b'{"user_id": "u"}', headers)
        assert problem(answer, 401)["code"] == code
        assert key is None or key not in answer.body.decode()


def test_a_revoked_key_is_refused_within_two_seconds(api: Api, stack: Stack) -> None:
    key, key_id = made_key(stack, "recommend")
    client = Api(api.url, key)
    asked = {"user_id": "u", "count": 1}
    wait_until(lambda: client.post("/v1/recommendations", asked).status == 200, 3, "a new key works")
    subprocess.run(
        [sys.executable, "-m", "servicekit.cli", "keys", "revoke", key_id],
        env={**_environment(), "DATABASE_URL": stack.database_url},
        check=True,
    )
    wait_until(
        lambda: client.post("/v1/recommendations", asked).status == 401, 2.5, "a revoked key is refused"
    )
    assert problem(client.post("/v1/recommendations", asked), 401)["code"] == "key_revoked"


def test_a_missing_scope(api: Api, stack: Stack) -> None:
    key, _ = made_key(stack, "recommend")
    client = Api(api.url, key)
    wait_until(lambda: client.post("/v1/recommendations", {"user_id": "u"}).status == 200, 3, "the key works")
    assert problem(client.put_asset("by-a-stranger"), 403)["code"] == "scope_missing"
    assert problem(client.track("u", "x"), 403)["code"] == "scope_missing"
    assert problem(client.send("GET", "/v1/buyers/u"), 403)["code"] == "scope_missing"
    problem(api.get_asset("by-a-stranger"), 404)


def test_a_publishable_key_learns_nothing_of_a_person(api: Api, stack: Stack) -> None:
    client = Api(api.url, stack.keys["publishable"])
    problem(client.post("/v1/recommendations", {"user_id": "adaeze.nwosu"}), 401, 403, 422)
    answer = client.post("/v1/recommendations", {"anonymous_id": "visitor"})
    assert answer.status == 200
    for hidden in ("score", "evidence", "distribution", "confidence"):
        assert f'"{hidden}":' not in answer.body.decode()
    problem(client.send("GET", "/v1/buyers/adaeze.nwosu"), 403)


# Strangers and wrong addresses


def test_a_buyer_never_seen_is_a_404_and_still_gets_a_good_answer(api: Api) -> None:
    problem(api.send("GET", "/v1/buyers/never-seen"), 404)
    problem(api.send("GET", "/v1/accounts/never-seen"), 404)
    answer = api.post("/v1/recommendations", {"user_id": "never-seen", "count": 5}).json()
    assert len(answer["items"]) == 5
    assert answer["meta"]["tier"] in ("stage", "popular")
    assert answer["meta"]["degraded"] is False


def test_an_asset_that_is_not_there(api: Api) -> None:
    problem(api.get_asset("nowhere"), 404)
    problem(api.send("DELETE", "/v1/assets/nowhere"), 404)
    problem(api.send("PATCH", "/v1/assets/nowhere", b'{"title": "x"}', JSON), 404)


def test_an_old_etag(api: Api) -> None:
    etag = api.put_asset("etag").headers["etag"]
    api.put_asset("etag", title="changed since")
    body = orjson.dumps({"title": "late", "url": "https://www.example.com/etag"})
    problem(api.send("PUT", "/v1/assets/etag", body, {**JSON, "If-Match": etag}), 412)
    problem(api.send("PUT", "/v1/assets/etag", body, {**JSON, "If-Match": "nonsense"}), 400, 412)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("DELETE", "/v1/recommendations", 405), ("POST", "/", 404)],
)
def test_addresses_that_are_none(api: Api, method: str, path: str, status: int) -> None:
    problem(api.send(method, path), status, 405)


def test_an_event_and_a_batch_that_are_too_large(api: Api) -> None:
    problem(api.track("u", "x", properties={"text": "x" * 33_000}), 413)
    batch = [{"type": "track", "userId": "u", "event": "x", "properties": {"text": "x" * 30_000}}] * 150
    problem(api.post("/v1/batch", {"batch": batch}), 413)
