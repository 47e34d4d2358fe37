"""Assets in bulk and as files, end to end: bad rows, streams that break off, encodings, broken documents."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from recommender_rig import Rig, SwitchableEmbedder, code

Result = dict[str, Any]


def post(rig: Rig, data: bytes, content_type: str = "application/x-ndjson") -> list[Result]:
    answer = rig.client.post("/v1/assets:import", data=data, content_type=content_type)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.data.splitlines()]


def ids(rig: Rig) -> set[str]:
    rig.shown()
    return set(rig.parts["replica"].snapshot.catalogue.row_of)


def row(n: int, **more: Any) -> bytes:
    return json.dumps(
        {"id": f"a{n}", "title": f"Title {n}", "url": f"https://x.example/{n}", **more}
    ).encode()


BAD: dict[int, tuple[bytes, str]] = {
    100: (b"{not json", "malformed_json"),
    200: (b'{"title": "No id", "url": "https://x.example"}', "id_missing"),
    300: (b'{"id": "bad", "title": "", "url": "https://x.example"}', "fields_invalid"),
    301: (b"[1]", "not_an_object"),
    302: (b'{"id": "bad", "title": "T", "url": "https://x.example", "colour": 1}', "fields_invalid"),
    303: (
        b'{"id": "bad", "title": "T", "url": "https://x.example", "equivalent_to": "bad"}',
        "equivalence_invalid",
    ),
    304: (b'{"id": "bad", "title": "\\u0000", "url": "https://x.example"}', "zero_byte"),
    305: (b'{"id": 5, "title": "T", "url": "https://x.example"}', "fields_invalid"),
}


def test_three_thousand_rows_with_bad_ones_among_them(recommender: Rig, embedder: SwitchableEmbedder) -> None:
    lines = [BAD[n][0] if n in BAD else row(n) for n in range(3000)]
    lines.append(row(7, title="The last word"))
    results = post(recommender, b"\n".join(lines))
    assert [result["line"] for result in results] == list(range(1, 3002))
    failed = {result["line"] - 1: result["code"] for result in results if result["result"] == "failed"}
    assert failed == {n: reason for n, (_, reason) in BAD.items()}
    assert all(result["detail"] for result in results if result["result"] == "failed")
    assert len(ids(recommender)) == 3000 - len(BAD)
    assert recommender.get("a7").json["title"] == "The last word"  # type: ignore[index]
    embedder.texts.clear()
    again = Counter(result["result"] for result in post(recommender, b"\n".join(lines)))
    assert again["failed"] == len(BAD)
    assert again["stored"] == 2  # the asset that stands there twice, changed and changed back
    assert again["unchanged"] == 3000 - len(BAD) - 1
    assert len(embedder.texts) <= 4


def test_a_table_of_three_thousand_rows(recommender: Rig, embedder: SwitchableEmbedder) -> None:
    table = ["id,title,url,topics,stages"]
    table += [f'c{n},"Title, ""{n}""\nsecond line",https://x.example/{n},GDP|Audit,' for n in range(3000)]
    table[1500] = ",No id,https://x.example,,"
    data = "\n".join(table).encode()
    results = post(recommender, data, "text/csv")
    assert Counter(result["result"] for result in results) == {"stored": 2999, "failed": 1}
    assert len(ids(recommender)) == 2999
    found = recommender.get("c2").json
    assert found is not None
    assert (found["title"], found["topics"]) == ('Title, "2"\nsecond line', ["GDP", "Audit"])
    embedder.texts.clear()
    assert (
        Counter(r["result"] for r in post(recommender, gzip.compress(data), "text/csv"))["unchanged"] == 2999
    )
    assert embedder.texts == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_tables_as_offices_write_them(recommender: Rig, encoding: str) -> None:
    table = "ID;Title;URL;Topics\r\nk1;Kühlung für Größe;https://x.example/k1;Käse\r\n"
    assert [r["result"] for r in post(recommender, table.encode(encoding), "text/csv")] == ["stored"]
    found = recommender.get("k1").json
    assert found is not None
    assert (found["title"], found["topics"]) == ("Kühlung für Größe", ["Käse"])


class BreaksOff(io.RawIOBase):
    """A body whose sender goes away: the stream ends with an error after these chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise ConnectionResetError("gone")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _begun(*_: Any) -> Any:
    """Takes status and headers, as a server does."""


def test_what_was_answered_before_a_stream_broke_off_is_stored(recommender: Rig) -> None:
    chunks = (row(n, summary="S" * 900) + b"\n" for n in range(400))
    environ = EnvironBuilder("/v1/assets:import", method="POST").get_environ()
    environ |= {"wsgi.input": io.BufferedReader(BreaksOff(chunks), 2048), "wsgi.input_terminated": True}
    answered: list[Result] = []
    for chunk in recommender.app.wsgi_app(environ, _begun):
        answered += [json.loads(line) for line in chunk.splitlines()]
    stored = {result["id"] for result in answered if result["result"] == "stored"}
    assert 64 <= len(stored) <= 400
    assert stored <= ids(recommender)
    everything = b"\n".join(row(n, summary="S" * 900) for n in range(400))
    results = Counter(result["result"] for result in post(recommender, everything))
    assert results["unchanged"] >= len(stored)
    assert len(ids(recommender)) == 400


def test_an_import_while_the_embedder_is_away_is_stored(
    recommender: Rig, embedder: SwitchableEmbedder
) -> None:
    embedder.away = True
    assert {r["result"] for r in post(recommender, b"\n".join(row(n) for n in range(100)))} == {"stored"}
    embedder.away = False
    recommender.parts["reconciler"].step()
    recommender.shown()
    assert recommender.parts["replica"].snapshot.catalogue.has_vector.sum() >= 100


def test_the_last_line_says_that_the_database_went_away(
    recommender: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recommender.store import assets as store

    write, calls = store.write_assets, []

    def dies_second(connection: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            with recommender.engine.connect() as other:
                pid = connection.connection.dbapi_connection.info.backend_pid
                other.exec_driver_sql("SELECT pg_terminate_backend(%s)", (pid,))
        return write(connection, *arguments)

    monkeypatch.setattr(store, "write_assets", dies_second)
    results = post(recommender, b"\n".join(row(n) for n in range(200)))
    assert results[-1] == {"result": "failed", "code": "database_away", "detail": results[-1]["detail"]}
    assert {r["id"] for r in results[:-1]} == ids(recommender)
    assert len(results) == 65


def upload(rig: Rig, *files: tuple[str, bytes], **form: str) -> list[Result]:
    data = {"files": [(io.BytesIO(content), name) for name, content in files], **form}
    answer = rig.client.post("/v1/assets:upload", data=data, content_type="multipart/form-data")
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    found: list[Result] = answer.json["results"]
    return found


MARKDOWN = b"""---
id: from-front-matter
url: https://firm.example/guide
topics: [GDP, Audit]
---
# Cold chain guide

Sensors in every truck tell when a door was open for too long, and who must act.
"""
HTML = b"""<html lang="en"><head><title>Alarm design</title>
<link rel="canonical" href="https://firm.example/alarms"></head><body><article><h1>Alarm design</h1>
<p>Too many alarms are as bad as none; choose few and clear ones, and
say what to do about each of them.</p><script>steal()</script></article></body></html>"""


def test_files_of_several_forms_with_a_broken_one_among_them(recommender: Rig) -> None:
    stated = {"url": "https://firm.example/notes", "title": "Notes", "type": "how_to"}
    results = upload(
        recommender,
        ("guide.md", MARKDOWN),
        ("broken.pdf", b"%PDF-1.7\nnothing follows"),
        ("alarms.html", HTML),
        ("notes.txt", b"Plain notes about calibration of sensors in a warehouse."),
        fields=json.dumps({"notes.txt": stated}),
    )
    assert [(r["filename"], r["result"]) for r in results] == [
        ("guide.md", "stored"),
        ("broken.pdf", "failed"),
        ("alarms.html", "stored"),
        ("notes.txt", "stored"),
    ]
    assert results[1]["code"]
    assert results[1]["detail"]
    assert ids(recommender) == {"from-front-matter", "alarms", "notes"}
    guide, _, alarms, notes = (r.get("asset", {}) for r in results)
    assert guide["topics"] == ["GDP", "Audit"]
    assert "door was open" in guide["body"]
    assert alarms["url"] == "https://firm.example/alarms"
    assert "steal" not in alarms["body"]
    assert (notes["title"], notes["type"]) == ("Notes", "how_to")
    again = upload(recommender, ("guide.md", MARKDOWN))
    assert again[0]["result"] == "unchanged"


def test_an_upload_may_ask_to_replace_nothing(recommender: Rig) -> None:
    form = {"base_url": "https://www.example.com/", "status": "approved"}
    text = b"# Handbook\n\nWho closes which door, and what the night shift does when an alarm goes off."
    assert upload(recommender, ("handbook.md", text), **form)[0]["result"] == "stored"
    data = {"files": (io.BytesIO(b"# Other\n\nAnother text altogether."), "handbook.md"), **form}
    answer = recommender.client.post(
        "/v1/assets:upload",
        data={**data, "status": "draft"},
        content_type="multipart/form-data",
        headers={"If-None-Match": "*"},
    )
    [refused] = answer.get_json()["results"]
    assert (refused["result"], refused["code"]) == ("failed", "asset_exists")
    kept = recommender.client.get("/v1/assets/handbook").get_json()
    assert (kept["status"], kept["title"] != "Other") == ("approved", True)


def test_a_file_that_does_not_say_where_it_is_published(recommender: Rig) -> None:
    plain = ("Report #3.txt", b"A report about the market of cold chain monitoring.")
    assert upload(recommender, plain)[0]["code"] == "url_missing"
    [stored] = upload(recommender, plain, base_url="https://firm.example/files/", status="draft")
    assert stored["result"] == "stored"
    assert stored["asset"]["url"] == "https://firm.example/files/Report%20%233.txt"
    assert stored["asset"]["status"] == "draft"


def test_file_names_of_any_script_get_ids_of_their_own(recommender: Rig) -> None:
    names = [
        "Report #3.txt",
        "Report #4.txt",
        "日本.txt",
        "中国.txt",
        "2024 отчёт.txt",
        "2024 план.txt",
        "Größe.txt",
    ]
    files = [(name, f"Some words about {name}.".encode()) for name in names]
    found = [r["id"] for r in upload(recommender, *files, base_url="https://firm.example/")]
    assert len(set(found)) == len(names)
    assert found[0] == "report-3"
    assert found[-1] == "grosse"


def test_uploads_that_make_no_sense(recommender: Rig) -> None:
    url = "/v1/assets:upload"
    assert code(recommender.client.post(url)) == (400, "no_files")
    for fields, expected in (("{", "malformed"), ("[]", "not_an_object"), ('{"a": 1}', "not_an_object")):
        data = {"files": [(io.BytesIO(b"x"), "a.txt")], "fields": fields}
        assert code(recommender.client.post(url, data=data)) == (400, f"json_{expected}")
    data = {"files": [(io.BytesIO(b"x"), "a.txt")], "status": "live"}
    assert code(recommender.client.post(url, data=data)) == (422, "fields_invalid")
    [unknown] = upload(
        recommender, ("a.txt", b"words"), fields='{"a.txt": {"url": "https://x.example", "colour": 1}}'
    )
    assert (unknown["result"], unknown["code"]) == ("failed", "fields_invalid")
    large = {"files": [(io.BytesIO(b"x" * 33 * 1024 * 1024), "a.txt")]}
    assert code(recommender.client.post(url, data=large)) == (413, "payload_too_large")
