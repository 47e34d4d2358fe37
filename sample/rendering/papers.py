"""Sets a source as a PDF: a cover and running heads for papers, a compact sheet for data sheets."""

from __future__ import annotations

import io
from html import escape
from typing import Any

from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, ListFlowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table
from reportlab.platypus.doctemplate import BaseDocTemplate

from sample.rendering.markup import Block, parse_blocks, spans

MARKS = {"bold": "<b>{}</b>", "italic": "<i>{}</i>", "code": "<font face='Courier'>{}</font>"}
KIND_NAMES = {
    "en": {
        "whitepaper": "White paper",
        "ebook": "Handbook",
        "analyst_report": "Research report",
        "datasheet": "Data sheet",
        "security": "Security paper",
    },
    "de": {"whitepaper": "Fachpapier", "datasheet": "Datenblatt"},
}
# The fictional research house sets its own reports, so they look unlike the vendor's.
ACCENTS = {
    "analyst_report": HexColor("#7A2E1F"),
    "ebook": HexColor("#2F6B4F"),
    "security": HexColor("#3A3A5C"),
}
DEFAULT_ACCENT = HexColor("#1F5A7A")
COVERED = ("whitepaper", "ebook", "analyst_report")


def render_paper(fields: dict[str, Any], text: str) -> bytes:
    """The bytes of a PDF file, the same on every run; ``fields`` is the front matter of its source."""
    made = io.BytesIO()
    template = SimpleDocTemplate(
        made,
        pagesize=A4,
        leftMargin=25 * mm,
        rightMargin=25 * mm,
        topMargin=24 * mm,
        bottomMargin=22 * mm,
        title=fields["title"],
        author=fields.get("author", "Isbryn"),
        subject=fields["summary"],
        keywords=", ".join(fields["topics"]),
        lang=fields["language"],
        invariant=1,
    )
    accent = ACCENTS.get(fields["type"], DEFAULT_ACCENT)
    styles = _styles(accent, serif=fields["type"] in COVERED)
    story: list[Flowable] = _opening(fields, styles)
    for block in parse_blocks(text):
        story.extend(_flowables(block, styles, accent))

    def first_page(canvas: Canvas, document: BaseDocTemplate) -> None:
        if fields["type"] in COVERED:
            _cover(canvas, fields, accent)
        else:
            _running_lines(canvas, document, fields, accent)

    def later_page(canvas: Canvas, document: BaseDocTemplate) -> None:
        _running_lines(canvas, document, fields, accent)

    template.build(story, onFirstPage=first_page, onLaterPages=later_page)
    return made.getvalue()


def _styles(accent: Color, *, serif: bool) -> dict[str, ParagraphStyle]:
    face = "Times-Roman" if serif else "Helvetica"
    body = ParagraphStyle(
        "body", fontName=face, fontSize=11 if serif else 9.5, leading=15.5 if serif else 12.6, spaceAfter=7
    )
    if serif:
        body.alignment = TA_JUSTIFY
    return {
        "body": body,
        "item": ParagraphStyle("item", parent=body, spaceAfter=3, alignment=0),
        "cell": ParagraphStyle(
            "cell", parent=body, fontName="Helvetica", fontSize=8.8, leading=11, spaceAfter=0, alignment=0
        ),
        "title": ParagraphStyle(
            "title",
            fontName="Helvetica-Bold",
            fontSize=26 if serif else 19,
            leading=31 if serif else 24,
            spaceAfter=10,
        ),
        "summary": ParagraphStyle(
            "summary",
            fontName="Helvetica-Oblique",
            fontSize=11.5,
            leading=16,
            textColor=accent,
            spaceAfter=14,
        ),
        "heading": ParagraphStyle(
            "heading",
            fontName="Helvetica-Bold",
            fontSize=14,
            leading=18,
            textColor=accent,
            spaceBefore=12 if serif else 7,
            spaceAfter=6,
            keepWithNext=1,
        ),
        "subheading": ParagraphStyle(
            "subheading",
            fontName="Helvetica-Bold",
            fontSize=11,
            leading=14,
            spaceBefore=6,
            spaceAfter=4,
            keepWithNext=1,
        ),
    }


def _opening(fields: dict[str, Any], styles: dict[str, ParagraphStyle]) -> list[Flowable]:
    title = Paragraph(escape(fields["title"], quote=False), styles["title"])
    summary = Paragraph(escape(fields["summary"], quote=False), styles["summary"])
    if fields["type"] in COVERED:
        return [Spacer(1, 95 * mm), title, summary, PageBreak()]
    return [title, summary]


def _flowables(block: Block, styles: dict[str, ParagraphStyle], accent: Color) -> list[Flowable]:
    if block.kind in ("heading", "subheading"):
        return [Paragraph(_inline(block.lines[0]), styles[block.kind])]
    if block.kind == "table":
        return [_table(block, styles["cell"], accent), Spacer(1, 4 * mm)]
    if block.kind in ("bullets", "numbers"):
        items = [Paragraph(_inline(line), styles["item"]) for line in block.lines]
        bullet = "bullet" if block.kind == "bullets" else "1"
        return [ListFlowable(items, bulletType=bullet, bulletFontSize=9, leftIndent=14), Spacer(1, 2 * mm)]
    return [Paragraph(_inline(block.lines[0]), styles["body"])]


def _table(block: Block, style: ParagraphStyle, accent: Color) -> Table:
    header = ParagraphStyle("header", parent=style, fontName="Helvetica-Bold", textColor=white)
    rows = [
        [Paragraph(_inline(cell), header if number == 0 else style) for cell in row]
        for number, row in enumerate(block.rows)
    ]
    first = 0.34 if len(rows[0]) < 4 else 0.28
    width = 160 * mm
    rest = (1 - first) / (len(rows[0]) - 1)
    return Table(
        rows,
        colWidths=[width * first, *[width * rest] * (len(rows[0]) - 1)],
        repeatRows=1,
        style=[
            ("BACKGROUND", (0, 0), (-1, 0), accent),
            ("LINEBELOW", (0, 1), (-1, -1), 0.4, HexColor("#C5CED6")),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 3),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ],
    )


def _cover(canvas: Canvas, fields: dict[str, Any], accent: Color) -> None:
    width, height = A4
    canvas.saveState()
    canvas.setFillColor(accent)
    canvas.rect(0, height - 92 * mm, width, 92 * mm, stroke=0, fill=1)
    canvas.setFillColor(white)
    canvas.setFont("Helvetica-Bold", 13)
    canvas.drawString(25 * mm, height - 30 * mm, fields.get("author", "Isbryn"))
    canvas.setFont("Helvetica", 11)
    canvas.drawString(25 * mm, height - 38 * mm, KIND_NAMES[fields["language"]][fields["type"]])
    canvas.restoreState()


def _running_lines(canvas: Canvas, document: BaseDocTemplate, fields: dict[str, Any], accent: Color) -> None:
    width, height = A4
    canvas.saveState()
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(accent)
    canvas.drawString(25 * mm, height - 16 * mm, KIND_NAMES[fields["language"]][fields["type"]])
    canvas.drawRightString(width - 25 * mm, height - 16 * mm, fields.get("author", "Isbryn"))
    canvas.drawString(25 * mm, 13 * mm, fields["url"].removeprefix("https://"))
    canvas.drawRightString(width - 25 * mm, 13 * mm, str(document.page))
    canvas.restoreState()


def _inline(text: str) -> str:
    return "".join(
        MARKS[span.style].format(escape(span.text, quote=False))
        if span.style != "plain"
        else escape(span.text, quote=False)
        for span in spans(text)
    )
