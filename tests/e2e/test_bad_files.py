"""Files and rows that clients get wrong: told one by one, their neighbours stored, never a 5xx."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import orjson
import pytest
import urllib3
from pypdf import PdfReader, PdfWriter

from e2e.foreword_process import REPOSITORY, Answer, Api, metric
from e2e.problems import JSON, problem
from foreword_dev.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]

PAPER = REPOSITORY / "sample/content/papers/datasheet-probe-p3.pdf"
DOCUMENT = REPOSITORY / "sample/content/documents/buyers-guide-monitoring.docx"


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
