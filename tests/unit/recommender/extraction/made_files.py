"""Files as content teams make them, and as attackers do, made on the spot."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping

import docx
import pptx
from pptx.util import Inches
from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate

GERMAN = (
    "Die Geschäftsführung prüft, ob eine neue Lösung für die Qualität der Lieferkette genügt. "
    "Größere Werke brauchen dafür verlässliche Zahlen und verständliche Übersichten."
)
ENGLISH = (
    "Buying groups rarely agree on what a good supplier looks like before they have met three of them. "
    "This guide describes how four manufacturers wrote their requirements down, and what they left out."
)
MORE_ENGLISH = (
    "The first of them asked every department for a veto list. Nobody enjoyed it, yet the evaluation took "
    "six weeks instead of six months, because the reasons to say no were on the table from the first day."
)
CONTENT_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
    ' Target="word/document.xml"/></Relationships>'
)
WORD_BODY = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{}</w:body></w:document>'


def pdf(*paragraphs: str, title: str | None = None, heading: str | None = None) -> bytes:
    """A PDF laid out and wrapped by reportlab."""
    out = io.BytesIO()
    styles = getSampleStyleSheet()
    story = [Paragraph(heading, styles["Title"])] if heading else []
    story += [Paragraph(text, styles["BodyText"]) for text in paragraphs]
    SimpleDocTemplate(out, pagesize=A4, title=title).build(story)
    return out.getvalue()


def pdf_pages(pages: list[str], title: str | None = None) -> bytes:
    """One page for each text, an empty text giving a page with a drawing and no words."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    if title:
        canvas.setTitle(title)
    for page in pages:
        if not page:
            canvas.rect(100, 100, 200, 300, fill=1)
        for row, line in enumerate(page.split("\n")):
            canvas.drawString(72, 780 - 14 * row, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def encrypted_pdf(data: bytes, user_password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def raw_pdf(objects: Mapping[int, bytes], root: int = 1, prev: str = "") -> bytes:
    """A PDF from object bodies, with a true cross-reference table; `prev` goes into the trailer."""
    out = bytearray(b"%PDF-1.4\n")
    offsets = {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (max(objects) + 1)
    for number in range(1, max(objects) + 1):
        out += b"%010d 00000 n \n" % offsets.get(number, 0)
    trailer = f"trailer\n<< /Size {max(objects) + 1} /Root {root} 0 R {prev.format(start=start)} >>\n"
    out += trailer.encode() + b"startxref\n%d\n%%%%EOF" % start
    return bytes(out)


def word_file() -> bytes:
    document = docx.Document()
    document.core_properties.title = "Word Document"
    document.add_heading("Writing requirements together", 0)
    document.add_paragraph(ENGLISH)
    document.add_heading("What to ask", 1)
    document.add_paragraph("Who signs?", style="List Bullet")
    document.add_paragraph("Who says no?", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for at, text in enumerate(["Department", "Veto", "Security", "yes"]):
        table.cell(at // 2, at % 2).text = text
    document.add_paragraph(MORE_ENGLISH)
    return saved(document)


def slide_deck() -> bytes:
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[0])
    first.shapes.title.text = "Three months to a shortlist"
    first.placeholders[1].text = "A workshop for buying groups"
    second = deck.slides.add_slide(deck.slide_layouts[1])
    second.shapes.title.text = "Before the first call"
    second.placeholders[1].text = "List the vetoes\nPrice the delay"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(4), Inches(4), Inches(1)).table
    for at, text in enumerate(["Team", "Weeks", "Finance", "Two"]):
        table.cell(at // 2, at % 2).text = text
    second.notes_slide.notes_text_frame.text = "Tell the story of the plant that skipped this step."
    hidden = deck.slides.add_slide(deck.slide_layouts[1])
    hidden.shapes.title.text = "Internal prices"
    hidden.element.set("show", "0")
    return saved(deck)


def saved(document: object) -> bytes:
    out = io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def archive(parts: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, part in parts.items():
            file.writestr(name, part)
    return out.getvalue()


def word_archive(document: bytes | str, **more: bytes | str) -> bytes:
    """A DOCX with this word/document.xml, and more parts by name."""
    return archive(
        {
            "[Content_Types].xml": CONTENT_TYPES,
            "_rels/.rels": RELATIONS,
            "word/document.xml": document,
            **more,
        }
    )


def zeros_archive(part: str, size: int, declared: int | None = None) -> bytes:
    """A DOCX whose `part` inflates to `size` spaces without ever holding them, and says it has `declared`."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush a block stands alone, so one packed mebibyte can be repeated.
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * (size >> 20) + packer.flush()
    claimed = size if declared is None else declared
    out = bytearray()
    directory = bytearray()
    small = {"[Content_Types].xml": CONTENT_TYPES.encode(), "_rels/.rels": RELATIONS.encode()}
    entries = [(name, body, len(body), zlib.crc32(body), 0) for name, body in small.items()]
    entries.append((part, packed, claimed, 0, 8))
    for name, body, length, check, method in entries:
        fields = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, check, len(body), length, len(name), 0)
        directory += (
            b"PK\x01\x02\x14\x00" + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + name.encode()
        )
        out += b"PK\x03\x04" + fields + name.encode() + body
    count = len(entries)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(out), 0)
    return bytes(out + directory + b"PK\x05\x06" + end)


PAGE = f"""<!doctype html><html lang="en-GB"><head><meta charset="utf-8">
<title>Requirements | Northwind Pumps</title>
<meta property="og:site_name" content="Northwind Pumps">
<meta property="og:title" content="Requirements that last">
<meta name="description" content="How four manufacturers wrote down what they need.">
<meta property="og:image" content="/img/cover.png">
<link rel="canonical" href="https://example.com/guides/requirements">
<script type="application/ld+json">{{"@context": "https://schema.org", "@graph": [{{"@type": "BlogPosting",
 "headline": "Requirements", "datePublished": "2025-03-04T09:30:00+01:00"}}]}}</script>
<script>document.write("tracking text")</script><style>p {{ color: red }}</style></head>
<body><header><a href="/">Northwind home</a></header><nav><a href="/a">Products menu</a></nav>
<div id="cookie-banner"><p>We use cookies to improve your experience. Accept all cookies?</p></div>
<main><article><h1>Requirements that last</h1><p onclick="steal()">{ENGLISH}</p>
<h2>The veto list</h2><p>{MORE_ENGLISH} <a href="javascript:alert(1)">Read on</a></p>
<ul><li>Security signs first</li><li>Finance signs last</li></ul>
<table><tr><th>Team</th><th>Weeks</th></tr><tr><td>Finance</td><td>Two</td></tr></table></article></main>
<footer><p>Imprint and privacy, all rights reserved</p></footer></body></html>""".encode()

MARKDOWN = f"""---
id: guide-veto
title: The veto list
topics: [procurement, security]
date: 2025-02-03
lang: en
image: https://example.com/veto.png
---
# The veto list, explained

{ENGLISH}

- Security **signs** first
- Finance signs [last](https://example.com)

| Team | Weeks |
|------|-------|
| Finance | Two |

> A quote about waiting.

<script>alert(1)</script>
""".encode()
