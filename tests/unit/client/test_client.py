"""The Python client against a server that plays good and bad days."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from foreword_client import Client, ForewordUnavailable, RequestRefused
from foreword_client.commands import group
from foreword_client.importing import FileUnreadable, Progress, import_file, kind_of

Answer = Callable[[Request], Response | None]


@dataclass
class Stand:
    """Stores what it is sent, once by id; `before` may answer in its place."""

    url: str = ""
    before: Answer | None = None
    assets: dict[str, Any] = field(default_factory=dict)
    events: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        body = request.get_data(cache=True)
        self.requests.append(request)
        answer = self.before(request) if self.before is not None else None
        return (answer or self._answer(request, body))(environ, start_response)

    def _answer(self, request: Request, body: bytes) -> Response:
        if request.path == "/v1/assets:import":
            return Response(b"".join(self._store(body, request)), mimetype="application/x-ndjson")
        if request.path == "/v1/import":
            for event in orjson.loads(body)["batch"]:
                self.received[event["messageId"]] += 1
                self.events[event["messageId"]] = event
            return Response(b'{"success":true}', mimetype="application/json")
        if request.path == "/v1/assets:upload":
            files = request.files.getlist("files")
            results = [{"filename": f.filename, "result": "stored", "size": len(f.read())} for f in files]
            return Response(orjson.dumps({"results": results, "form": dict(request.form)}))
        return Response(orjson.dumps({"path": request.path, "body": body.decode()}))

    def _store(self, body: bytes, request: Request) -> Iterator[bytes]:
        if request.content_type == "text/csv":
            yield orjson.dumps({"line": 2, "result": "stored", "id": f"csv{len(body)}"}) + b"\n"
            yield orjson.dumps({"line": 3, "result": "failed", "detail": "no id"}) + b"\n"
            return
        for number, line in enumerate(body.splitlines(), 1):
            try:
                asset = orjson.loads(line)
            except orjson.JSONDecodeError:
                yield orjson.dumps({"line": number, "result": "failed", "detail": "not JSON"}) + b"\n"
                continue
            self.received[asset["id"]] += 1
            result = "unchanged" if self.assets.get(asset["id"]) == asset else "stored"
            self.assets[asset["id"]] = asset
            yield orjson.dumps({"line": number, "id": asset["id"], "result": result}) + b"\n"


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    server = make_server("127.0.0.1", 0, made, threaded=True)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join(5)


def client(stand: Stand, slept: list[float] | None = None, tries: int = 6) -> Client:
    return Client(stand.url, "fw_sk_x", tries=tries, sleep=(slept if slept is not None else []).append)


def times(count: int, answer: Callable[[], Response]) -> Answer:
    left = [count]

    def before(_: Request) -> Response | None:
        left[0] -= 1
        return answer() if left[0] >= 0 else None

    return before


def test_it_waits_as_long_as_it_is_asked_to_and_tries_again(stand: Stand) -> None:
    slept: list[float] = []
    stand.before = times(2, lambda: Response("", 503, headers={"Retry-After": "7"}))
    assert client(stand, slept).recommend(user_id="u", count=2)["body"] == '{"user_id":"u","count":2}'
    assert slept == [7.0, 7.0]
    assert {r.headers["Authorization"] for r in stand.requests} == {"Bearer fw_sk_x"}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_it_gives_up_after_its_tries(stand: Stand, status: int) -> None:
    slept: list[float] = []
    stand.before = times(99, lambda: Response("", status))
    with pytest.raises(ForewordUnavailable, match=f"status {status}"):
        client(stand, slept, tries=3).recommend(user_id="u")
    assert len(stand.requests) == 3
    assert len(slept) == 2
    assert slept[1] > slept[0]


def test_nobody_there(stand: Stand) -> None:
    nobody = Client("http://127.0.0.1:1", "k", tries=2, sleep=lambda _: None)
    with pytest.raises(ForewordUnavailable):
        nobody.recommend(user_id="u")


def test_a_refusal_is_told_and_not_repeated(stand: Stand) -> None:
    problem = {"status": 422, "code": "fields_invalid", "detail": "These fields are wrong: /title."}
    stand.before = times(1, lambda: Response(orjson.dumps(problem), 422))
    with pytest.raises(RequestRefused, match="/title") as caught:
        client(stand).put_asset({"id": "a/b ü"})
    assert (caught.value.status, caught.value.problem["code"]) == (422, "fields_invalid")
    assert len(stand.requests) == 1
    assert stand.requests[0].environ["RAW_URI"].endswith("/v1/assets/a%2Fb%20%C3%BC")
    stand.before = times(1, lambda: Response("<html>", 403))
    with pytest.raises(RequestRefused, match="status 403"):
        client(stand).recommend(user_id="u")


def test_an_upload_carries_names_and_fields(stand: Stand) -> None:
    files = [("ä.md", b"# A"), ("b.pdf", b"x" * 1000)]
    results = client(stand).upload(files, fields={"ä.md": {"type": "blog"}}, base_url="https://x.example")
    assert [(r["filename"], r["size"]) for r in results] == [("ä.md", 3), ("b.pdf", 1000)]


ASSETS = [{"id": f"a{n}", "title": f"Title {n}", "url": "https://x.example"} for n in range(1000)]
EVENTS = [{"type": "page", "userId": "u", "messageId": f"m{n}", "pad": "x" * 600} for n in range(12_000)]


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def run(stand: Stand, path: Path, places: Path, **options: Any) -> Counter[str]:
    progress, key = Progress(places), Progress.key_of(path, stand.url)
    done: list[int] = []
    report = import_file(client(stand, **options), path, kind_of(path), progress, key, done.append)
    assert Progress(places).lines(key) == 0
    return report.results


def test_files_are_imported_plain_and_packed_and_again_without_doubling(stand: Stand, tmp_path: Path) -> None:
    plain, packed, events = tmp_path / "a.ndjson", tmp_path / "a.ndjson.gz", tmp_path / "e.ndjson"
    plain.write_bytes(lines(ASSETS))
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" * 0 + lines(ASSETS)))
    events.write_bytes(lines(EVENTS).replace(b"\n", b"\n\n", 3))
    assert [kind_of(p) for p in (plain, packed, events)] == ["assets", "assets", "signals"]
    places = tmp_path / "places.json"
    assert run(stand, plain, places) == {"stored": 1000}
    assert run(stand, packed, places) == {"unchanged": 1000}
    assert run(stand, events, places) == {"sent": 12_000}
    assert len(stand.events) == 12_000
    assert len(stand.assets) == 1000


@pytest.mark.parametrize(("records", "at"), [(ASSETS, 3), (EVENTS, 3)])
def test_an_import_that_was_stopped_goes_on_where_it_was(
    stand: Stand, tmp_path: Path, records: list[dict[str, Any]], at: int
) -> None:
    path, places = tmp_path / "file.ndjson", tmp_path / "places.json"
    path.write_bytes(lines(records))
    count = [0]

    def fails_later(_: Request) -> Response | None:
        count[0] += 1
        return Response("", 503) if count[0] >= at else None

    stand.before = fails_later
    with pytest.raises(ForewordUnavailable):
        run(stand, path, places, tries=1)
    first = sum(stand.received.values())
    assert 0 < first < len(records)
    place = Progress(places).lines(Progress.key_of(path, stand.url))
    assert 0 < place <= first
    stand.before = None
    run(stand, path, places)
    assert len(stand.assets) + len(stand.events) == len(records)
    assert sum(stand.received.values()) == len(records) + first - place
    assert Progress.key_of(path, "http://elsewhere") != Progress.key_of(path, stand.url)


def test_an_answer_that_ends_too_early_is_no_success(stand: Stand, tmp_path: Path) -> None:
    path, places = tmp_path / "file.ndjson", tmp_path / "places.json"
    path.write_bytes(lines(ASSETS))
    half = orjson.dumps({"line": 1, "id": "a0", "result": "stored"}) + b"\n"
    away = orjson.dumps({"result": "failed", "code": "database_away", "detail": "Try again."}) + b"\n"
    stand.before = times(2, lambda: Response(half + away, mimetype="application/x-ndjson"))
    assert run(stand, path, places) == {"stored": 1000}
    assert len(stand.assets) == 1000
    stand.before = times(999, lambda: Response(half + away, mimetype="application/x-ndjson"))
    with pytest.raises(ForewordUnavailable):
        run(stand, path, places, tries=2)


def test_bad_lines_are_told_by_their_number_and_spoil_nothing(stand: Stand, tmp_path: Path) -> None:
    assets, events = tmp_path / "a.ndjson", tmp_path / "e.ndjson"
    assets.write_bytes(lines(ASSETS[:2]) + b"\n{broken\n" + lines(ASSETS[2:3]))
    huge = orjson.dumps({"type": "page", "messageId": "huge", "pad": "x" * 5_000_000}) + b"\n"
    events.write_bytes(lines(EVENTS[:2]) + b"{broken\n" + huge + lines(EVENTS[2:3]))
    progress = Progress(tmp_path / "p.json")
    report = import_file(client(stand), assets, "assets", progress, "k", lambda _: None)
    assert report.results == {"stored": 3, "failed": 1}
    assert report.problems == ["line 4: not JSON"]
    report = import_file(client(stand), events, "signals", progress, "k", lambda _: None)
    assert report.results == {"sent": 3, "failed": 2}
    assert [problem.split(":")[0] for problem in report.problems] == ["line 3", "line 4"]
    assert max(len(r.get_data()) for r in stand.requests) < 4 * 1024 * 1024
    assert set(stand.events) == {"m0", "m1", "m2"}


def test_a_table_is_sent_as_it_is(stand: Stand, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id;title\nä;b\n".encode("latin-1"))
    report = import_file(client(stand), path, kind_of(path), Progress(tmp_path / "p"), "k", lambda _: None)
    assert report.results == {"stored": 1, "failed": 1}
    assert report.problems == ["line 3: no id"]
    assert stand.requests[0].get_data() == path.read_bytes()


CUT = gzip.compress(lines(EVENTS), 1)


@pytest.mark.parametrize(
    "data",
    [CUT[: len(CUT) // 2], CUT[: len(CUT) // 2] + b"\x00" * 400, CUT[:5]],
    ids=["cut off", "damaged", "head only"],
)
def test_a_damaged_file_is_told_in_a_sentence(stand: Stand, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "e.ndjson.gz"
    path.write_bytes(data)
    progress = Progress(tmp_path / "p.json")
    with pytest.raises(FileUnreadable, match=r"e\.ndjson\.gz"):
        import_file(client(stand), path, kind_of(path), progress, "k", lambda _: None)
    told = CliRunner(env={"FOREWORD_DATA_DIR": str(tmp_path)}).invoke(
        group, ["import", str(path), "--url", stand.url, "--key", "k"]
    )
    assert told.exit_code == 1
    assert isinstance(told.exception, SystemExit)
    assert "e.ndjson.gz" in told.output
    assert "Traceback" not in told.output


def test_the_command_tells_what_became_of_each_file(stand: Stand, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.ndjson", tmp_path / "bad.ndjson"
    good.write_bytes(lines(ASSETS[:5]))
    bad.write_bytes(lines(ASSETS[:1]) + b"{broken\n")
    environment = {"FOREWORD_DATA_DIR": str(tmp_path), "FOREWORD_URL": stand.url}
    runner = CliRunner(env=environment)
    without = runner.invoke(group, ["import", str(good)])
    assert (without.exit_code, "keys.json" in without.output) == (1, True)
    (tmp_path / "keys.json").write_text('{"secret": "fw_sk_x"}')
    fine = runner.invoke(group, ["import", str(good)])
    assert fine.exit_code == 0, fine.output
    assert "good.ndjson: 5 stored" in fine.output
    mixed = runner.invoke(group, ["import", str(good), str(bad)])
    assert mixed.exit_code == 1
    assert "5 unchanged" in mixed.output
    assert "line 2: not JSON" in mixed.output


def test_what_is_no_ndjson(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{\n "id": "pretty printed"\n}')
    with pytest.raises(FileUnreadable, match="first line"):
        kind_of(path)
    path.write_text("")
    assert kind_of(path) == "table"
    (tmp_path / "places").write_text('["no places"]')
    assert Progress(tmp_path / "places").lines("k") == 0
