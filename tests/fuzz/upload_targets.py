"""Files: read out of every form, damaged inside and out, and what is said beside them."""

from __future__ import annotations

import io
import logging
import zipfile
from functools import cache

from fuzz.dice import Dice
from fuzz.import_targets import ASSET_NAMES, ASSET_WORDS
from fuzz.registry import target


@cache
def _made() -> dict[str, bytes]:
    from unit.recommender.extraction.made_files import MARKDOWN, PAGE, pdf, slide_deck, word_file

    made = {"pdf": pdf("Some words of a guide.", heading="Guide"), "docx": word_file(), "pptx": slide_deck()}
    return {**made, "html": PAGE, "markdown": MARKDOWN, "text": b"Plain words, and a second line.\n\nMore."}


def _extracted(data: bytes, name: str, declared: str | None = None) -> None:
    from recommender.extraction.documents import extract
    from recommender.extraction.errors import ExtractionError
    from recommender.extraction.limits import Limits
    from recommender.extraction.wire import decode_answer, encode_extracted

    limits = Limits(max_bytes=1 << 20, max_characters=100_000, max_inflated_bytes=8 << 20)
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # as the worker does: parsers log what they find in a file
    try:
        found = extract(data, name, declared, limits)
    except ExtractionError:
        return
    finally:
        logging.disable(level)  # the process is shared with tests of what is logged
    text = "\n".join([found.body, found.title or "", found.summary or "", *found.warnings])
    text.encode("utf-8")
    assert "\x00" not in text
    assert found.body.strip()
    assert found.language is None or len(found.language) == 2
    assert decode_answer(encode_extracted(found, fit=True)).extracted is not None


def damaged(good: bytes, dice: Dice) -> bytes:
    """A good file with some of its places overwritten, removed or repeated."""
    data = bytearray(good)
    for _ in range(1 + dice.below(6)):
        at = dice.below(65_536) % max(1, len(data))
        gone = dice.pick((0, 1, 4, 40))
        new = dice.pick(
            (
                b"",
                b"\x00",
                b"\xff" * 4,
                b"<<",
                b">>",
                b"obj",
                b"9" * 12,
                b"<w:p>",
                b"/Kids",
                data[at : at + 30],
            )
        )
        data[at : at + gone] = new if dice.below(3) else dice.raw(12)
    return bytes(data)


def _damaged_archive(good: bytes, dice: Dice) -> bytes:
    """The parts inside are damaged, so that what opens archives lets them through to what reads XML."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = {dice.pick(names) for _ in range(1 + dice.below(3))}
        for name in names:
            part = old.read(name)
            if name in chosen:
                part = damaged(part, dice)
            if not (name in chosen and dice.below(10) == 0):
                new.writestr(
                    (dice.text(("../" + name,)).replace("\x00", "") or "_") if dice.below(40) == 1 else name,
                    part,
                )
    return out.getvalue()


@target("upload_text", b"Plain words.\n\nMore of them.", b"\xff\xfeT\x00e\x00", weight=8)
def upload_text(data: bytes) -> None:
    _extracted(data, "a.txt")


@target(
    "upload_markdown", b"# Title\n\n- one\n- two\n", b"---\ntitle: a\n---\nText", b"[a]: b\n" * 9, weight=8
)
def upload_markdown(data: bytes) -> None:
    _extracted(data, "a.md")


_TAGS = (
    "html",
    "head",
    "body",
    "article",
    "p",
    "h1",
    "div",
    "table",
    "tr",
    "td",
    "script",
    "svg",
    "math",
    "iframe",
    "title",
    "meta",
    "template",
    "select",
    "a",
    "b",
    "li",
    "ul",
    "pre",
    "plaintext",
    "frameset",
)


@target("upload_html", b"<html><head><title>T</title></head><body><article><p>Words.</article>", weight=4)
def upload_html(data: bytes) -> None:
    if data[:1] == b"\x01":
        dice = Dice(data[1:])
        parts = []
        while not dice.spent and len(parts) < 300:
            tag = dice.pick(_TAGS)
            parts.append(
                dice.pick(
                    (
                        f"<{tag}>",
                        f"</{tag}>",
                        f"<{tag} {dice.text(('content', 'property=og:title'))}=",
                        dice.text(("Some words of a text. ",)),
                    )
                )
            )
        _extracted("".join(parts).encode("utf-8", "replace"), "a.html")
    else:
        _extracted(data, "a.html", "text/html")


@target("upload_pdf", b"%PDF-1.7\n", b"\x01\x00", weight=3)
def upload_pdf(data: bytes) -> None:
    _extracted(damaged(_made()["pdf"], Dice(data[1:])) if data[:1] < b"\xc0" else data, "a.pdf")


@target("upload_docx", b"PK\x03\x04", b"\x01\x00", weight=2)
def upload_docx(data: bytes) -> None:
    _extracted(_damaged_archive(_made()["docx"], Dice(data)), "a.docx")


@target("upload_pptx", b"PK\x03\x04", b"\x01\x00", weight=1)
def upload_pptx(data: bytes) -> None:
    _extracted(_damaged_archive(_made()["pptx"], Dice(data)), "a.pptx")


@target(
    "upload_any",
    *(b"%PDF-1.7\n", b"PK\x03\x04", b"<html>", b"---\n", b"\x1f\x8b", b"\xd0\xcf\x11\xe0", b"MZ"),
    weight=10,
)
def upload_any(data: bytes) -> None:
    dice = Dice(data)
    name = dice.text(
        ("a.pdf", "a.docx", "a.pptx", "a.html", "a.md", "a.txt", "../a\x00.pdf", "con", "a." + "x" * 300)
    )
    _extracted(
        dice.rest(), name, dice.pick((None, "text/html", "text/markdown", "application/pdf", "nonsense;"))
    )


@target("upload_form", b"guide.pdf\x00{}", weight=20)
def upload_form(data: bytes) -> None:
    """What the sender states beside a file, and the id and address that its name makes."""
    from pydantic import ValidationError

    from contract.assets import AssetInput
    from recommender.domain.errors import EquivalenceInvalid
    from recommender.extraction.content import Extracted, Metadata
    from recommender.service.asset_records import record_of
    from recommender.service.uploading import _merge, _slug
    from servicekit.errors import Unprocessable
    from servicekit.wire import field_problems

    dice = Dice(data)
    name = dice.text(("guide.pdf", "../../etc/passwd", "C:\\a.docx", "日本語.md"))
    found = Extracted(
        form="markdown",
        title="T",
        summary=None,
        body="Words.",
        language="en",
        metadata=Metadata(front_matter=dice.document(ASSET_NAMES, ASSET_WORDS)),
        warnings=(),
    )
    stated = dice.document(ASSET_NAMES, ASSET_WORDS)
    base = dice.pick((None, "https://www.example.com/files", dice.text()))
    try:
        merged = _merge(found, stated, name, base, "draft")
    except ValueError:  # the base is no address, and said to be none
        return
    try:
        fields = AssetInput.model_validate(merged)
        record = record_of(fields.id or _slug(name), fields)
    except ValidationError as error:
        field_problems(error)
    except (Unprocessable, EquivalenceInvalid):
        return
    else:
        assert "\x00" not in record.asset_id + record.url
