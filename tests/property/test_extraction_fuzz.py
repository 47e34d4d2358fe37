"""Whatever the bytes, reading ends, and ends in an answer or in an error of the tree."""

from __future__ import annotations

import gzip
import io

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.extraction.cleaning import clean_html, plain_text
from recommender.extraction.csv_records import DELIMITERS, csv_records
from recommender.extraction.documents import extract
from recommender.extraction.errors import ExtractionError
from recommender.extraction.limits import Limits, RowLimits
from recommender.extraction.passages import split_passages
from recommender.extraction.prose import sentences, summarise, tidy
from recommender.extraction.row_lines import Line
from recommender.extraction.rows import read_rows
from unit.recommender.extraction.made_files import MARKDOWN, PAGE, pdf, slide_deck, word_file

LIMITS = Limits(max_bytes=1 << 20, max_characters=100_000)
NAMES = [
    "",
    "a.pdf",
    "a.docx",
    "a.pptx",
    "a.html",
    "a.md",
    "a.txt",
    "a.csv",
    "../a\x00.pdf",
    "a." + "x" * 300,
]
WHOLE = [pdf("Some words of a guide.", heading="Guide"), word_file(), slide_deck(), PAGE, MARKDOWN]
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

starts = st.sampled_from(
    [
        b"",
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"<html><body>",
        b"---\na: ",
        b"# ",
        b"\xff\xfe",
        b"\x1f\x8b",
        b"MZ",
        b"\xd0\xcf",
    ]
)


def read(data: bytes, name: str, declared: str | None = None) -> None:
    try:
        found = extract(data, name, declared, LIMITS)
    except ExtractionError:
        return
    text = "\n".join([found.body, found.title or "", found.summary or "", *found.warnings])
    text.encode("utf-8")  # no lone surrogates
    assert "\x00" not in text
    assert found.body.strip()
    assert found.language is None or len(found.language) == 2


@relaxed
@given(
    starts,
    st.binary(max_size=3_000),
    st.sampled_from(NAMES),
    st.sampled_from([None, "text/html", "text/markdown"]),
)
def test_any_bytes(start: bytes, rest: bytes, name: str, declared: str | None) -> None:
    read(start + rest, name, declared)


@relaxed
@given(
    st.text(max_size=2_000),
    st.sampled_from(["a.html", "a.md", "a.txt"]),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_any_text(text: str, name: str, encoding: str) -> None:
    read(text.encode(encoding, "ignore"), name)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(range(len(WHOLE))), st.data())
def test_any_damage_to_a_good_file(which: int, data: st.DataObject) -> None:
    good = bytearray(WHOLE[which])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(good) - 1))
        good[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
        if not good:
            return
    read(bytes(good), NAMES[1 + which])


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(
        [b"", b"[", b"{", b"id,title\n", b"id;topics;stages\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b"]
    ),
    st.lists(st.binary(max_size=60), max_size=20),
    st.booleans(),
    st.sampled_from([None, "text/csv", "application/x-ndjson", "nonsense"]),
)
def test_any_bytes_give_rows_or_problems(
    start: bytes, lines: list[bytes], packed: bool, declared: str | None
) -> None:
    body = start + b"\n".join(lines)
    stream = io.BytesIO(gzip.compress(body) if packed else body)
    limits = RowLimits(max_record_characters=200, sample_bytes=64, max_array_bytes=500)
    for row in read_rows(stream, declared, limits):
        assert (row.record is None) != (row.problem is None)
        assert row.line >= 1


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.lists(
            st.text(st.characters(blacklist_characters="\r\x00", codec="utf-8"), max_size=12),
            min_size=2,
            max_size=4,
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(DELIMITERS),
)
def test_what_is_written_quoted_is_read_back(table: list[list[str]], delimiter: str) -> None:
    text = "\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in cells) for cells in table)
    lines = (Line(number, line) for number, line in enumerate(text.split("\n"), 1))
    assert [list(record.cells) for record in csv_records(lines, delimiter, 10_000)] == table


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=400))
def test_small_functions_take_any_text(text: str) -> None:
    clean = tidy(text)
    assert tidy(clean) == clean
    assert "".join("".join(sentences(clean)).split()) == "".join(clean.split())
    summary = summarise(clean)
    assert summary is None or len(summary) <= 300
    assert "<script" not in clean_html(text).lower()
    plain_text(text)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60), st.lists(st.text(max_size=300), max_size=12), st.integers(1, 6))
def test_passages_are_bounded_and_the_same_every_time(title: str, paragraphs: list[str], most: int) -> None:
    body = "\n\n".join(paragraphs)
    passages = split_passages(title, None, body, max_passages=most)
    assert len(passages) <= most
    assert all(passage.strip() for passage in passages)
    assert passages == split_passages(title, None, body, max_passages=most)
