"""Sets a source as a Word document, with fixed properties and a fixed archive so that its bytes repeat."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

from docx import Document
from docx.document import Document as WordDocument
from docx.shared import Pt, RGBColor
from docx.text.paragraph import Paragraph

from sample.rendering.markup import Block, parse_blocks, spans

MADE_AT = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
ZIP_DATE = (2026, 11, 1, 9, 0, 0)
# Different teams write different kinds of document, and each has its own house look.
FONTS = {"security": "Arial", "integration_docs": "Arial", "ebook": "Georgia", "buyers_guide": "Georgia"}
LIST_STYLES = {"bullets": "List Bullet", "numbers": "List Number"}


def render_document(fields: dict[str, Any], text: str) -> bytes:
    """The bytes of a DOCX file; ``fields`` is the front matter of its source."""
    document = Document()
    _properties(document, fields)
    document.styles["Normal"].font.name = FONTS.get(fields["type"], "Calibri")
    document.styles["Normal"].font.size = Pt(10.5)
    document.add_heading(fields["title"], level=0)
    subtitle = document.add_paragraph(fields["summary"], style="Subtitle")
    subtitle.runs[0].font.color.rgb = RGBColor(0x1F, 0x5A, 0x7A)
    for block in parse_blocks(text):
        _add_block(document, block)
    document.sections[0].footer.paragraphs[0].text = f"Isbryn · {fields['url']}"
    return _repeatable(document)


def _properties(document: WordDocument, fields: dict[str, Any]) -> None:
    core = document.core_properties
    core.title = fields["title"]
    core.subject = fields["summary"]
    core.author = core.last_modified_by = "Isbryn"
    core.language = fields["language"]
    core.keywords = ", ".join(fields["topics"])
    core.comments = ""
    core.created = core.modified = core.last_printed = MADE_AT
    core.revision = 1


def _add_block(document: WordDocument, block: Block) -> None:
    if block.kind in ("heading", "subheading"):
        document.add_heading(block.lines[0], level=1 if block.kind == "heading" else 2)
    elif block.kind == "table":
        rows = block.rows
        table = document.add_table(rows=len(rows), cols=len(rows[0]), style="Light Grid Accent 1")
        for cells, row in zip(table.rows, rows, strict=True):
            for cell, content in zip(cells.cells, row, strict=True):
                _add_spans(cell.paragraphs[0], content)
        document.add_paragraph()
    else:
        for line in block.lines:
            _add_spans(document.add_paragraph(style=LIST_STYLES.get(block.kind)), line)


def _add_spans(paragraph: Paragraph, text: str) -> None:
    for span in spans(text):
        run = paragraph.add_run(span.text)
        run.bold = span.style == "bold" or None
        run.italic = span.style == "italic" or None
        if span.style == "code":
            run.font.name = "Courier New"


def _repeatable(document: WordDocument) -> bytes:
    made = io.BytesIO()
    document.save(made)
    packed = io.BytesIO()
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, ZIP_DATE), source.read(name), zipfile.ZIP_DEFLATED, 9)
    return packed.getvalue()
