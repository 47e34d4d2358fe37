"""Tables and lines of assets: CSV, NDJSON, JSON arrays, packed or not."""

from __future__ import annotations

import gzip
import io

import orjson

from fuzz.dice import Dice
from fuzz.registry import dumped, target
from recommender.extraction.csv_columns import FIELDS

# The generator picks by number, so the order must not change from run to run.
ASSET_NAMES = tuple(sorted(FIELDS))
ASSET_WORDS = (
    "guide-1",
    "A guide",
    "https://www.example.com/g",
    "approved",
    "draft",
    "en",
    "decision",
    "blog",
)


def _rows(body: bytes, declared: str) -> None:
    from contract.assets import ImportResult
    from recommender.extraction.limits import RowLimits
    from recommender.extraction.rows import read_rows
    from recommender.service.importing import read_asset_row

    limits = RowLimits(max_record_characters=2_000, sample_bytes=256, max_array_bytes=4_000, max_columns=50)
    for row in read_rows(io.BytesIO(body), declared, limits):
        assert (row.record is None) != (row.problem is None)
        read = read_asset_row(row)
        if isinstance(read, ImportResult):
            orjson.dumps(read.model_dump())
        else:
            assert "\x00" not in f"{read.asset_id}{read.title}{read.body}{read.url}"


@target(
    "csv",
    b"id,title,url,topics\nguide-1,A guide,https://www.example.com/g,a|b\n",
    '\ufeffid;title;url\r\n"a;b";"zwei\r\nZeilen";https://www.example.com\r\n'.encode(),
    b"\xff\xfei\x00d\x00,\x00t\x00\n\x00",
    weight=30,
)
def csv_rows(data: bytes) -> None:
    if data[:1] == b"\x01":
        dice = Dice(data[1:])
        delimiter, quote = dice.pick((",", ";", "\t", "|")), dice.pick(('"', "", "'"))
        lines = [delimiter.join(dice.pick(ASSET_NAMES) for _ in range(1 + dice.below(60)))]
        while not dice.spent and len(lines) < 20:
            cells = (quote + dice.text(ASSET_WORDS) + quote for _ in range(1 + dice.below(8)))
            lines.append(delimiter.join(cells))
        body = (
            dice.pick(("\n", "\r\n", "\r"))
            .join(lines)
            .encode(dice.pick(("utf-8", "utf-16", "latin-1")), "replace")
        )
        _rows(gzip.compress(body, 1) if dice.below(8) == 0 else body, "text/csv")
    else:
        _rows(data, "text/csv")


@target(
    "ndjson",
    b'{"id":"guide-1","title":"A guide","url":"https://www.example.com/g"}\n{"id":2}\n',
    b'[{"id":"a"},{"id":"b","stages":{"decision":1}}]',
    b"{" * 100,
    weight=30,
)
def ndjson_rows(data: bytes) -> None:
    if data[:1] == b"\x01":
        dice = Dice(data[1:])
        lines = []
        while not dice.spent and len(lines) < 6:
            lines.append(dumped(dice.document(ASSET_NAMES, ASSET_WORDS)))
        body = b"\n".join(lines)
        _rows(gzip.compress(body, 1) if dice.below(8) == 0 else body, "application/x-ndjson")
    else:
        _rows(data, "application/x-ndjson")
