"""Files made to hurt: each gets a plain answer within ten seconds, and hurts nobody.

Every file goes through the gateway to a running Foreword. A file that cannot be read is a result (`failed`,
with a code and a sentence); one that can be read is stored as harmless text. None is a 5xx, none takes a
reader's memory above its limit, and the service answers others meanwhile. Those that burn all the time they
are given run with HOSTILE_UPLOADS=all alone (`make hostile-uploads`).
"""

from __future__ import annotations

import io
import json
import os
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from e2e.foreword_process import Answer, Api, metric
from foreword_dev.stack import Stack
from unit.recommender.extraction.made_files import (
    CONTENT_TYPES,
    WORD_BODY,
    archive,
    encrypted_pdf,
    pdf,
    raw_pdf,
    slide_deck,
    word_archive,
    zeros_archive,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_server_error")]

_SECONDS = 10.0
# What a job may take (512 MiB) on top of an idle reader, and what the service itself may grow.
_READER_MIB = 900
_SERVICE_GROWTH_MIB = 150
_WORDS = "Plain words about pumps and who signs for them. "
_CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
_PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"


def _page_with(stream: bytes, *, filters: bytes = b"", box: bytes = b"[0 0 600 800]") -> bytes:
    content = b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(stream), filters, stream)
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox %s /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
    )
    return raw_pdf({1: _CATALOG, 2: _PAGES, 3: page % box, 4: content, 5: font})


def _deflate_bomb_pdf() -> bytes:
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(100)) + packer.flush()
    return _page_with(zlib.compress(packed, 9), filters=b"/Filter [/FlateDecode /FlateDecode]")


def _pages_that_are_their_own_kids() -> bytes:
    loop = b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000 /Parent 2 0 R >>"
    return raw_pdf({1: _CATALOG, 2: loop})


def _xref_loop() -> bytes:
    data = raw_pdf({1: _CATALOG, 2: b"<< /Type /Pages /Kids [] /Count 0 >>"}, prev="/Prev {start}")
    return data + b"\nstartxref\n9\n%%EOF"


def _form_that_draws_itself() -> bytes:
    draws = b"/X Do /X Do /X Do"
    uses = b"/Resources << /XObject << /X 5 0 R >> >>"
    form = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] " + uses
    form += b" /Length %d >>\nstream\n%s\nendstream"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R " + uses + b" >>"
    content = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(draws), draws)
    return raw_pdf({1: _CATALOG, 2: _PAGES, 3: page, 4: content, 5: form % (len(draws), draws)})


def _many_pages() -> bytes:
    kids = b" ".join(b"%d 0 R" % n for n in range(3, 6_003))
    objects = {1: _CATALOG, 2: b"<< /Type /Pages /Kids [" + kids + b"] /Count 6000 >>"}
    return raw_pdf({**objects, **dict.fromkeys(range(3, 6_003), b"<< /Type /Page /Parent 2 0 R >>")})


def _stream_of_operators() -> bytes:
    """A page that draws one letter half a million times, each at another place."""
    stream = b"BT /F1 1 Tf " + b"".join(b"%d 0 Td (a) Tj " % (n % 7) for n in range(500_000)) + b"ET"
    return _page_with(zlib.compress(stream, 9), filters=b"/Filter /FlateDecode")


def _entries(count: int) -> bytes:
    """A directory of so many names, all of one empty part; written by hand, as a library takes a minute."""
    name = b"word/document.xml"
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0)
    out = b"PK\x03\x04" + fields + name
    one = b"PK\x01\x02\x14\x00" + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    size, at = len(one) * count, len(out)
    # More than 65,535 entries need the larger form of the directory's end.
    large = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, at)
    place = b"PK\x06\x07" + struct.pack("<IQI", 0, at + size, 1)
    last = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return out + one * count + large + place + last


def _zip_in_zip() -> bytes:
    inner = zeros_archive("word/document.xml", 1 << 30)
    for _ in range(4):
        inner = archive(
            {"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": inner, "word/b.docx": inner}
        )
    return inner


def _overlapping_entries() -> bytes:
    """Two thousand entries that all point at one packed body: little on disk, much when unpacked."""
    name = b"word/document.xml"
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(b" " * (3 << 20)) + packer.flush()
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(body), 3 << 20, len(name), 0)
    out = b"PK\x03\x04" + fields + name + body
    one = b"PK\x01\x02\x14\x00" + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    count = 2_000
    return (
        out
        + one * count
        + b"PK\x05\x06"
        + struct.pack("<HHHHIIH", 0, 0, count, count, len(one) * count, len(out), 0)
    )


def _external_relations() -> bytes:
    """A presentation whose parts point at addresses and files outside of it."""
    out = io.BytesIO()
    outside = (
        '<Relationship Id="rX" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
        'relationships/image" '
        'Target="{}" TargetMode="External"/></Relationships>'
    )
    with zipfile.ZipFile(io.BytesIO(slide_deck())) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name.endswith(".rels"):
                for target in (
                    "http://169.254.169.254/latest/meta-data",
                    "file:///etc/passwd",
                    "\\\\evil\\share",
                ):
                    part = part.replace(b"</Relationships>", outside.format(target).encode(), 1)
            new.writestr(name, part)
    return out.getvalue()


def _big_picture() -> bytes:
    """A picture that says it has 60,000 times 60,000 points, inside a document with words."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + head
        + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    )
    body = f"<w:p><w:r><w:t>{_WORDS * 3}</w:t></w:r></w:p>"
    return word_archive(WORD_BODY.format(body), **{"word/media/image1.png": png + b"\x00" * 4_000_000})


def _climbing_names() -> bytes:
    body = WORD_BODY.format(f"<w:p><w:r><w:t>{_WORDS * 3}</w:t></w:r></w:p>")
    return word_archive(body, **{"../../../../tmp/foreword-climbed.xml": "<a/>", "/etc/foreword.xml": "<a/>"})


def _entities(kind: str) -> bytes:
    if kind == "laughs":
        levels = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
        declaration, use = f'<!DOCTYPE a [<!ENTITY l0 "ha">{levels}]>', "&l9;"
    else:
        declaration, use = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"
    return word_archive(declaration + WORD_BODY.format(f"<w:p><w:r><w:t>{use}</w:t></w:r></w:p>"))


def _endless_front_matter() -> bytes:
    """YAML in which each list holds the one before it nine times, and the first itself."""
    lists = b"".join(b"b%d: &b%d [%s]\n" % (n, n, b"*b%d," % (n - 1) * 9) for n in range(2, 9))
    return b"---\na: &a [*a, *a]\nb1: &b1 [1]\n" + lists + b"---\n" + _WORDS.encode()


def _csv(columns: int) -> bytes:
    return (
        ",".join(["id", "title", "url"] + [f"c{n}" for n in range(columns)]).encode()
        + b"\na,b,https://e.example/\n"
    )


# → (file name, bytes, codes that the answer may have; `stored` where its text is harmless)
_MALFORMED = frozenset(
    {
        "file_malformed",
        "file_too_large",
        "no_text",
        "unsupported_form",
        "extraction_too_slow",
        "extraction_too_much_memory",
    }
)
_EITHER = _MALFORMED | {"stored"}
CASES: dict[str, tuple[str, Callable[[], bytes], frozenset[str]]] = {
    "a zip bomb of 2 GB": ("a.docx", lambda: zeros_archive("word/document.xml", 2 << 30), _MALFORMED),
    "a zip bomb that lies about its size": (
        "a.docx",
        lambda: zeros_archive("word/document.xml", 1 << 30, 1000),
        _MALFORMED,
    ),
    "a zip in a zip in a zip": ("a.docx", _zip_in_zip, _MALFORMED),
    "a zip with 100,000 entries": ("a.docx", lambda: _entries(100_000), _MALFORMED),
    "a zip whose entries overlap": ("a.docx", _overlapping_entries, _MALFORMED),
    "names that climb out of the archive": ("a.docx", _climbing_names, _EITHER),
    "an external entity": ("a.docx", lambda: _entities("file"), _MALFORMED),
    "a billion laughs": ("a.docx", lambda: _entities("laughs"), _MALFORMED),
    "XML nested a million deep": (
        "a.docx",
        lambda: word_archive(WORD_BODY.format("<w:p>" * 1_000_000)),
        _MALFORMED,
    ),
    "a picture of 3.6 billion points": ("a.docx", _big_picture, _EITHER),
    "a presentation that points outside": ("a.pptx", _external_relations, _EITHER),
    "a PDF that inflates to 100 MB, packed twice": ("a.pdf", _deflate_bomb_pdf, _MALFORMED),
    "a PDF whose pages are their own children": ("a.pdf", _pages_that_are_their_own_kids, _MALFORMED),
    "a PDF whose tables point in a circle": ("a.pdf", _xref_loop, _MALFORMED),
    "a PDF form that draws itself": ("a.pdf", _form_that_draws_itself, _EITHER),
    "a PDF of 6,000 pages": ("a.pdf", _many_pages, _MALFORMED),
    "a PDF page of half a million strokes": ("a.pdf", _stream_of_operators, _EITHER),
    "a PDF page of a million metres": (
        "a.pdf",
        lambda: _page_with(b"BT /F1 9 Tf (Words) Tj ET", box=b"[0 0 99999999999 99999999999]"),
        _EITHER,
    ),
    "a PDF under a password": (
        "a.pdf",
        lambda: encrypted_pdf(pdf(_WORDS), "secret"),
        frozenset({"file_encrypted"}),
    ),
    "a PDF cut in two": ("a.pdf", lambda: pdf(_WORDS * 50)[:900], _MALFORMED),
    "a PDF that is a page and a zip as well": (
        "a.pdf",
        lambda: b"<html><script>alert(1)</script>" + archive({"a": b"b"}) + pdf(_WORDS),
        _EITHER,
    ),
    "HTML nested 3 MB deep": (
        "a.html",
        lambda: b"<html><body>" + b"<div><b>" * 400_000 + _WORDS.encode(),
        _EITHER,
    ),
    "HTML with a million attributes": (
        "a.html",
        lambda: (
            b"<html><body><p " + b"".join(b"a%d=1 " % n for n in range(300_000)) + b">" + _WORDS.encode() * 9
        ),
        _EITHER,
    ),
    "HTML that is one endless comment": (
        "a.html",
        lambda: b"<html><body><!--" + b"<!-- " * 2_000_000,
        _EITHER,
    ),
    "Markdown made for slow patterns": (
        "a.md",
        lambda: b"[" * 60_000 + b"](" * 30_000 + b"*_" * 60_000 + b"`" * 20_000,
        _EITHER,
    ),
    "front matter that refers to itself": ("a.md", _endless_front_matter, _EITHER),
    "one word of 20 MB": ("a.txt", lambda: b"a" * (20 << 20), _EITHER),
    "text in no language at all": ("a.txt", lambda: bytes(range(1, 256)) * 20_000, _EITHER),
    "a spreadsheet of a million columns": ("a.csv", lambda: _csv(1_000_000), _EITHER),
    "a program that calls itself a paper": (
        "paper.pdf",
        lambda: b"MZ\x90\x00" + b"\x00" * 5000,
        frozenset({"unsupported_form", "file_malformed"}),
    ),
    "a name that climbs": (
        "../../../../etc/cron.d/evil.md",
        lambda: b"# Title\n\n" + _WORDS.encode() * 9,
        frozenset({"stored"}),
    ),
    "a name of a thousand signs": (
        "\u202e" + "x" * 1000 + "\u0000.md",
        lambda: b"# Title\n\n" + _WORDS.encode() * 9,
        _EITHER,
    ),
}


# These use up the time that a reader has.
SLOW = {
    "a PDF page of half a million strokes",
    "HTML with a million attributes",
    "HTML that is one endless comment",
    "Markdown made for slow patterns",
}
CHOSEN = [case for case in CASES if case not in SLOW or os.environ.get("HOSTILE_UPLOADS") == "all"]


class Watch:
    """The most memory that any reader held, and whether the service answered others meanwhile."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._over = threading.Event()
        self.most_reader = 0.0
        self.unanswered = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    if "recommender.extraction.worker" in process.cmdline():
                        self.most_reader = max(self.most_reader, process.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            if self._api.send("GET", "/v1/assets?page_size=1").status != 200:
                self.unanswered += 1


def said(answer: Answer) -> str:
    """`stored`, or the code of why not; a refusal of the whole request counts by its own code."""
    if answer.status != 200:
        assert answer.headers["content-type"].startswith("application/problem+json"), answer.body
        assert 400 <= answer.status < 500, answer.body
        return str(answer.json()["code"])
    (result,) = answer.json()["results"]
    if result["result"] == "failed":
        assert len(result["detail"]) > 20
        return str(result["code"])
    return "stored"


def held(stack: Stack) -> dict[str, float]:
    ports = {"gateway": stack.settings.gateway.metrics, "recommender": stack.settings.recommender.metrics}
    return {name: metric(port, "process_resident_memory_bytes") / 2**20 for name, port in ports.items()}


@pytest.fixture(scope="module")
def held_before(stack: Stack, api: Api) -> dict[str, float]:
    api.upload("first.md", b"# First\n\n" + _WORDS.encode() * 5)
    return held(stack)


@pytest.fixture(scope="module")
def watch(api: Api) -> Iterator[Watch]:
    with Watch(api) as watching:
        yield watching


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.replace(" ", "-"))
@pytest.mark.usefixtures("held_before")
def test_a_hostile_file_gets_a_plain_answer(api: Api, watch: Watch, case: str) -> None:
    name, make, expected = CASES[case]
    data = make()
    # A reader that was replaced is started at once; its start is no part of what the next file takes.
    assert said(api.upload("before.md", b"# Before\n\n" + _WORDS.encode())) == "stored"
    watch.most_reader, watch.unanswered = 0.0, 0
    began = time.monotonic()
    answer = api.upload(name, data)
    took = time.monotonic() - began
    assert said(answer) in expected, answer.body[:500]
    assert took < _SECONDS + 1.0, f"{took:.1f} s"  # what it takes to send and to answer comes on top
    assert watch.most_reader < _READER_MIB, f"{watch.most_reader:.0f} MiB"
    assert watch.unanswered == 0
    for bad in (b"Traceback", b"root:x:0", b"<script", b"/usr/lib", b"site-packages"):
        assert bad not in answer.body
    assert not Path("/tmp/foreword-climbed.xml").exists()


def test_the_service_is_as_it_was(api: Api, stack: Stack, held_before: dict[str, float]) -> None:
    """After all of them: a good file is read, and little more memory is held."""
    answer = api.upload("good-after-all.md", b"# Good\n\n" + _WORDS.encode() * 5)
    assert said(answer) == "stored"
    assert json.loads(answer.body)["results"][0]["asset"]["body"].startswith("Plain words")
    for name, now in held(stack).items():
        assert now < held_before[name] + _SERVICE_GROWTH_MIB, (name, held_before[name], now)


def test_there_are_enough_of_them() -> None:
    assert len(set(CASES) - SLOW) >= 24
    assert set(CASES) >= SLOW
