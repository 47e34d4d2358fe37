"""Rows out of NDJSON and CSV as people really write them."""

from __future__ import annotations

import gzip
import io
import json
import random
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from recommender.extraction.limits import RowLimits
from recommender.extraction.rows import Row, read_rows


def rows(data: bytes | str, content_type: str | None = None, **limits: int) -> list[Row]:
    body = data.encode() if isinstance(data, str) else data
    return list(read_rows(io.BytesIO(body), content_type, RowLimits(**limits)))


def records(data: bytes | str, content_type: str | None = None) -> list[dict[str, object] | None]:
    found = rows(data, content_type)
    assert [row.problem for row in found if row.problem] == []
    return [row.record for row in found]


def problems(found: list[Row]) -> list[tuple[int, str]]:
    return [(row.line, row.problem.code) for row in found if row.problem is not None]


class TestNdjson:
    def test_each_line_is_a_record_and_blank_lines_do_not_count(self) -> None:
        found = rows('{"id": "a"}\n\n  \r\n{"id": "b", "topics": ["x"]}\r\n')
        assert found == [Row(1, {"id": "a"}), Row(4, {"id": "b", "topics": ["x"]})]

    def test_one_bad_line_does_not_spoil_the_rest(self) -> None:
        lines = [b'{"id":"a"}', b'{"id":', b'{"id":"\xff\xfe"}', b"[1]", b'"x"', b'{"id":"z"}']
        found = rows(b"\n".join(lines))
        assert [row.record for row in found if row.record] == [{"id": "a"}, {"id": "z"}]
        assert problems(found) == [
            (2, "malformed_json"),
            (3, "broken_encoding"),
            (4, "not_an_object"),
            (5, "not_an_object"),
        ]

    def test_a_row_without_an_id_is_the_callers_to_judge(self) -> None:
        assert records('{"url": "https://example.com"}\n{}') == [{"url": "https://example.com"}, {}]

    def test_a_line_over_the_cap_is_told_and_passed_over(self) -> None:
        found = rows('{"id":"a"}\n{"id":"' + "x" * 300_000 + '"}\n{"id":"b"}', max_record_characters=1_000)
        assert problems(found) == [(2, "line_too_long")]
        assert [row.line for row in found if row.record] == [1, 3]

    @pytest.mark.parametrize("mark", ["[", '{"a":'])
    def test_depth_is_no_way_in(self, mark: str) -> None:
        closing = "]" if mark == "[" else "}"
        deep = '{"a":' + mark * 200 + "1" + closing * 200 + "}"
        found = rows(f'{{"id":"a"}}\n{deep}\n{{"a":{mark * 100_000}\n')
        assert problems(found) == [(2, "nested_too_deeply"), (3, "malformed_json")]

    def test_zero_bytes_are_told_and_backslashes_are_not_zero_bytes(self) -> None:
        found = rows(r'{"a":"x\u0000"}' + "\n" + r'{"a":"x\\u0000"}')
        assert problems(found) == [(1, "zero_byte")]
        assert found[1].record == {"a": "x\\u0000"}

    def test_a_mark_and_utf_16(self) -> None:
        assert records('{"id":"ä"}\n'.encode("utf-8-sig")) == [{"id": "ä"}]
        assert records('{"id":"ä"}\n{"id":"ö"}'.encode("utf-16")) == [{"id": "ä"}, {"id": "ö"}]

    def test_an_array(self) -> None:
        assert rows(' [{"id":"a"}, 3, {"id":"b"}] ')[1].line == 2
        assert [row.record for row in rows('[\n{"id":"a"},\n{"id":"b"}]')] == [{"id": "a"}, {"id": "b"}]
        assert problems(rows('[{"id":"a"}, 3]')) == [(2, "not_an_object")]
        assert problems(rows("[" * 200_000)) == [(1, "malformed_json")]
        assert problems(rows('[{"id":"a"},')) == [(1, "malformed_json")]

    def test_an_array_over_the_limit_asks_for_lines(self) -> None:
        body = json.dumps([{"id": str(number)} for number in range(20_000)])
        found = rows(body, max_array_bytes=100_000)
        assert problems(found) == [(1, "array_too_large")]
        assert len(rows(body)) == 20_000


class TestCsv:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "iso-8859-1"]
    )
    def test_delimiters_and_encodings(self, delimiter: str, encoding: str) -> None:
        table = [
            ["id", "title", "body"],
            ["a", "Größe", 'Prüfung; mit, "Zitat" | und\tmehr'],
            ["b", "Maß", "kurz"],
        ]
        quoted = (delimiter.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in table)
        found = records("\r\n".join(quoted).encode(encoding), "text/csv")
        assert found == [dict(zip(table[0], line, strict=True)) for line in table[1:]]

    def test_quoted_line_ends_and_where_rows_begin(self) -> None:
        found = rows('id;body\r\na;"one\r\ntwo ""three"""\r\n\r\nb;four\r\n')
        assert found == [Row(2, {"id": "a", "body": 'one\ntwo "three"'}), Row(5, {"id": "b", "body": "four"})]

    def test_header_names_are_matched_forgivingly(self) -> None:
        header = " Asset ID ,Titel,Description,LINK,Sprache,Tags,Publish-Date,Thumbnail,Campaign Code"
        assert records(f"{header}\n1,T,S,https://e.x,de,a|b,2025-01-01,https://e.x/i.png,C7") == [
            {
                "id": "1",
                "title": "T",
                "summary": "S",
                "url": "https://e.x",
                "language": "de",
                "topics": ["a", "b"],
                "publish_at": "2025-01-01",
                "image_url": "https://e.x/i.png",
                "campaign_code": "C7",
            }
        ]

    @pytest.mark.parametrize(
        "value", ["a|b c|d", "a;b c;d", "a, b c, d", '["a", "b c", "d"]', "a| b c |d|a||"]
    )
    def test_lists(self, value: str) -> None:
        quoted = value.replace('"', '""')
        assert records(f'id,topics\n1,"{quoted}"') == [{"id": "1", "topics": ["a", "b c", "d"]}]

    @pytest.mark.parametrize(
        "value",
        [
            "awareness:0.7|decision:0.3",
            "awareness=70%; decision=30%",
            '{"awareness": 0.7, "decision": 0.3}',
            "awareness:0,7|decision:0,3",
            "awareness: 0.7, decision: 0.3",
        ],
    )
    def test_stages(self, value: str) -> None:
        quoted = value.replace('"', '""')
        assert records(f'id,stages\n1,"{quoted}"') == [
            {"id": "1", "stages": {"awareness": 0.7, "decision": 0.3}}
        ]

    def test_a_bare_stage_has_all_the_weight(self) -> None:
        assert records("id,Stage\n1,decision") == [{"id": "1", "stages": {"decision": 1.0}}]

    @pytest.mark.parametrize("value", [":0.7", "{bad", "awareness:0.7.1", '{"a": "much"}', '{"a": true}'])
    def test_stages_that_cannot_be_read_are_told(self, value: str) -> None:
        quoted = value.replace('"', '""')
        assert problems(rows(f'id,stages\n1,"{quoted}"\n2,decision')) == [(2, "cell_unreadable")]

    def test_too_few_and_too_many_cells(self) -> None:
        found = rows("id,title,url\n1,a\n2,b,c,d\n3,e,f\n4,g,h,,\n")
        assert problems(found) == [(2, "cells_missing"), (3, "cells_too_many")]
        assert [row.record["id"] for row in found if row.record] == ["3", "4"]

    def test_duplicate_columns_are_told_and_the_exact_name_wins(self) -> None:
        found = rows("id,link,url,title,Title\n1,x,https://e.x,A,B")
        assert problems(found) == [(1, "duplicate_column"), (1, "duplicate_column")]
        assert found[-1].record == {"id": "1", "url": "https://e.x", "title": "A"}

    def test_empty_cells_and_empty_rows_are_left_out(self) -> None:
        assert records("id,title,,\n1,,,\n,,,\n2,b,,\n") == [{"id": "1"}, {"id": "2", "title": "b"}]

    def test_a_quote_that_never_closes_costs_one_row(self) -> None:
        found = rows('id,title\n1,a\n2,"never closed\n3,c\n4,d\n')
        assert problems(found) == [(3, "quote_not_closed")]
        assert [row.record["id"] for row in found if row.record] == ["1", "3", "4"]

    def test_a_quote_that_never_closes_in_an_endless_file(self) -> None:
        body = 'id,title\n1,"open\n' + "".join(f"{number},x\n" for number in range(2, 10_000))
        found = rows(body, max_record_characters=10_000)
        assert problems(found) == [(2, "quote_not_closed")]
        assert len(found) == 9_999

    def test_stray_quotes_are_letters(self) -> None:
        assert records('id,title,url\n1,5" pipe,x\n2,"Zero" trust,y\n') == [
            {"id": "1", "title": '5" pipe', "url": "x"},
            {"id": "2", "title": "Zero trust", "url": "y"},
        ]

    def test_the_first_umlaut_may_come_late(self) -> None:
        body = "id;title\n" + "".join(f"{number};plain\n" for number in range(7_000)) + "last;Größe\n"
        assert records(body.encode("cp1252"))[-1] == {"id": "last", "title": "Größe"}

    def test_a_line_that_excel_writes_for_itself(self) -> None:
        assert records("sep=;\r\nid;title\r\n1;a, b\r\n") == [{"id": "1", "title": "a, b"}]

    def test_a_single_column(self) -> None:
        assert records("url\nhttps://example.com/a;b=1\n") == [{"url": "https://example.com/a;b=1"}]

    def test_signals_may_have_columns_of_their_own(self) -> None:
        assert records("user_id,event,timestamp\nu1,Asset Viewed,2025-01-01") == [
            {"user_id": "u1", "event": "Asset Viewed", "timestamp": "2025-01-01"}
        ]


class TestStream:
    def test_gzip_is_told_by_its_first_bytes(self) -> None:
        two_members = gzip.compress(b'{"id":"a"}\n') + gzip.compress(b'{"id":"b"}\n') + bytes(512)
        assert records(two_members, "text/csv") == [{"id": "a"}, {"id": "b"}]

    def test_a_broken_gzip_ends_in_a_problem_and_keeps_what_came_before(self) -> None:
        rng = random.Random(7)
        body = "".join(f'{{"id":"{rng.random()}"}}\n' for _ in range(20_000)).encode()
        packed = gzip.compress(body)
        found = rows(packed[: len(packed) // 2])
        assert problems(found) == [(found[-1].line, "gzip_broken")]
        assert len(found) > 2_000
        assert problems(rows(b"\x1f\x8b" + b"rubbish" * 9)) == [(1, "gzip_broken")]

    def test_a_gzip_bomb_is_cut_off(self) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        line = b'{"id":"' + b"a" * 1_000 + b'"}\n'
        parts = [packer.compress(line * 200) for _ in range(90)]
        bomb = b"".join(parts) + packer.flush()
        found = list(read_rows(io.BytesIO(bomb), None, RowLimits(max_ratio=100, ratio_floor_bytes=1 << 20)))
        assert problems(found) == [(found[-1].line, "too_large")]
        assert 900 < len(found) < 9_000

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"PK\x03\x04" + bytes(100), "not_text"),
            (bytes(range(256)) * 9, "not_text"),
            (b'"never', "header_unreadable"),
        ],
    )
    def test_what_is_no_table(self, data: bytes, code: str) -> None:
        assert problems(rows(data)) == [(1, code)]

    @pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf", b"id,title\n"])
    def test_nothing_gives_nothing(self, data: bytes) -> None:
        assert rows(data) == []

    def test_memory_stays_bounded(self) -> None:
        class Endless(io.RawIOBase):
            """Twenty-four megabytes that are nowhere."""

            def __init__(self) -> None:
                self.left = 400

            def read(self, size: int = -1) -> bytes:
                self.left -= 1
                return b'{"id":"' + b"x" * 60_000 + b'"}\n' if self.left > 0 else b""

        def consume(found: Iterator[Row]) -> int:
            return sum(1 for _ in found)

        tracemalloc.start()
        try:
            assert consume(read_rows(Endless())) == 399  # type: ignore[arg-type]
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

    def test_errors_of_the_stream_are_the_callers(self) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            list(read_rows(Broken()))
