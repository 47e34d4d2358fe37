"""`foreword email`: recipients in, the same rows with recommendations out, safe from formulas, resumable."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from foreword_client.commands import group
from foreword_client.email_csv import safe_cell

NAME = '=HYPERLINK("http://evil.example","x")'


class Batch:
    """Answers batches; after `breaks_after` lines it is away."""

    def __init__(self) -> None:
        self.url = ""
        self.lines: list[dict[str, Any]] = []
        self.queries: list[str] = []
        self.breaks_after = 10**9

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        lines = [orjson.loads(line) for line in request.get_data().splitlines()]
        if len(self.lines) + len(lines) > self.breaks_after:
            return Response(status=403)(environ, start_response)
        self.lines += lines
        self.queries.append(request.query_string.decode())
        return Response(b"".join(map(self.answer, lines)))(environ, start_response)

    @staticmethod
    def answer(asked: dict[str, Any]) -> bytes:
        if asked.get("user_id") == "unwelcome":
            return orjson.dumps({"status": 400, "code": "refused", "detail": "Refused."}) + b"\n"
        items = [
            {
                "id": f"a{rank}",
                "title": f"+Title {rank}",
                "url": "https://x.example",
                "click_url": f"https://c.example/c/{asked.get('user_id')}-{rank}",
                "summary": None,
                "type": "blog",
                "image_url": None,
            }
            for rank in range(1, 3)
        ]
        return orjson.dumps({"items": items, "meta": {"tier": "personal"}}) + b"\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Batch]:
    batch = Batch()
    made = make_server("127.0.0.1", 0, batch)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    batch.url = f"http://127.0.0.1:{made.server_port}"
    yield batch
    made.shutdown()


@pytest.fixture
def batch(server: Batch) -> Batch:
    server.lines.clear()
    server.queries.clear()
    server.breaks_after = 10**9
    return server


def run(batch: Batch, source: Path, *options: str) -> Any:
    target = source.with_name("out.csv")
    arguments = ["email", str(source), "-o", str(target), "--url", batch.url, "--key", "k", *options]
    return CliRunner().invoke(group, arguments)


def table(folder: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with (folder / "out.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def test_rows_come_back_with_columns_and_no_formula(batch: Batch, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(
        f'email;user_id;account_id;name;phone\na@x;u-1;acme;"{NAME.replace(chr(34), chr(34) * 2)}";+49 30 1\n'
        "b@x;unwelcome;;Bö;-\nc@x;;;C;\n",
        encoding="utf-8-sig",
    )
    done = run(batch, source, "--count", "3", "--max-per-asset", "5", "--once-an-account")
    assert done.exit_code == 0, done.output
    first, second, third = table(tmp_path, ";")
    assert (first["email"], first["phone"], first["name"]) == ("a@x", "+49 30 1", "'" + NAME)
    assert (first["fw_1_title"], first["fw_1_url"]) == ("'+Title 1", "https://c.example/c/u-1-1")
    assert (first["fw_3_title"], first["fw_tier"], first["fw_problem"]) == ("", "personal", "")
    assert (second["name"], second["fw_1_title"], second["fw_problem"]) == ("Bö", "", "Refused.")
    assert third["fw_problem"] == "no id in this row"
    assert batch.queries == ["max_per_asset=5&once_an_account=true"]
    asked = {"user_id": "u-1", "account_id": "acme", "count": 3, "placement": "email", "channel": "email"}
    assert batch.lines[0] == asked


def test_a_stopped_run_goes_on_where_it_was(batch: Batch, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("user_id\n" + "".join(f"u-{n}\n" for n in range(2_500)))
    batch.breaks_after = 2_000
    assert run(batch, source).exit_code == 1
    assert not (tmp_path / "out.csv").exists()
    batch.breaks_after = 10**9
    done = run(batch, source)
    assert "went on after 2,000" in done.output
    assert len(batch.lines) == 2_500
    rows = table(tmp_path)
    assert [row["user_id"] for row in rows] == [f"u-{n}" for n in range(2_500)]
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


@pytest.mark.parametrize("header", ["email", "user_id,fw_1_title", ""])
def test_a_table_that_cannot_be_used_is_told_in_a_sentence(batch: Batch, tmp_path: Path, header: str) -> None:
    source = tmp_path / "in.csv"
    source.write_text(header + "\nx\n")
    done = run(batch, source)
    assert done.exit_code == 1
    assert "has" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("cell", ["=1+1", "@x", "+cmd|'/C calc'!A0", "-2+3+cmd", "\t=1"])
def test_a_formula_is_text(cell: str) -> None:
    assert safe_cell(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "plain", "-3.5", "+49 (30) 123-4", "a=b", "1=1"])
def test_what_is_no_formula_stays(cell: str) -> None:
    assert safe_cell(cell) == cell
