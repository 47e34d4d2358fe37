"""Reading Word files (python-docx opens the package; the text is walked in document order)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import OpcError
from lxml import etree

from recommender.extraction.archive import plain_copy
from recommender.extraction.content import Content, Metadata
from recommender.extraction.errors import Malformed, NoText
from recommender.extraction.limits import Limits
from recommender.extraction.office_properties import office_properties
from recommender.extraction.prose import has_words, one_line

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
# Deleted or moved-away text, field codes, the second copy of a drawing, and marks without text of their own.
_SKIPPED = frozenset(
    {f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}delText", f"{_MC}Fallback", f"{_W}pPr"}
)


def read_docx(data: bytes, limits: Limits) -> Content:
    """Headings, paragraphs, lists and tables in document order; raises the tree of `errors`."""
    try:
        document = docx.Document(plain_copy(data, limits))
        body = document.element.body
    except (
        OpcError,
        KeyError,
        ValueError,
        AttributeError,
        zipfile.BadZipFile,
        etree.XMLSyntaxError,
    ) as error:
        raise Malformed(
            "The Word file is damaged; open it, save it again and upload the new copy."
        ) from error
    styles = _style_names(document)
    blocks: list[str] = []
    title = heading = None
    for kind, text in _blocks(body, styles):
        if not has_words(text):
            continue
        if kind == "title" and title is None:
            title = one_line(text)
        elif kind == "heading" and heading is None:
            heading = one_line(text)
        if kind == "item" and blocks and blocks[-1].rsplit("\n", 1)[-1].startswith("- "):
            blocks[-1] += f"\n- {one_line(text)}"
        else:
            blocks.append(f"- {one_line(text)}" if kind == "item" else text)
    if not blocks:
        raise NoText(
            "The Word file holds no text; if it shows scanned pages, run text recognition (OCR) first."
        )
    properties = office_properties(document.core_properties)
    return Content(
        body="\n\n".join(blocks),
        title=title or properties.title or heading,
        summary=properties.description,
        language=properties.language,
        metadata=Metadata(published_at=properties.created_at),
    )


def _style_names(document: Any) -> dict[str, str]:
    """Style id to English style name in lower case; ids differ by the language Word was installed in."""
    names: dict[str, str] = {}
    for style in document.styles.element.iter(f"{_W}style"):
        name = style.find(f"{_W}name")
        if name is not None:
            names[style.get(f"{_W}styleId", "")] = (name.get(f"{_W}val") or "").lower()
    return names


def _blocks(parent: Any, styles: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(kind, text) of what stands below `parent`; kinds: title, heading, item, paragraph, table."""
    for child in parent:
        if child.tag == f"{_W}p":
            kind = _kind(child, styles)
            if kind != "contents":
                yield kind, _text(child)
            for box in child.iter(f"{_W}txbxContent"):
                if not any(above.tag == f"{_MC}Fallback" for above in box.iterancestors()):
                    yield from _blocks(box, styles)
        elif child.tag == f"{_W}tbl":
            yield "table", "\n".join(_rows(child, styles))
        elif (
            child.tag not in _SKIPPED
        ):  # content controls, tracked insertions, custom XML: their content counts
            yield from _blocks(child, styles)


def _kind(paragraph: Any, styles: dict[str, str]) -> str:
    properties = paragraph.find(f"{_W}pPr")
    if properties is None:
        return "paragraph"
    style = properties.find(f"{_W}pStyle")
    name = styles.get(style.get(f"{_W}val", ""), "") if style is not None else ""
    if name == "title":
        return "title"
    if name.startswith("heading"):
        return "heading"
    if name.startswith("toc "):
        return "contents"  # a table of contents repeats the headings
    if name.startswith("list") or properties.find(f"{_W}numPr") is not None:
        return "item"
    return "paragraph"


def _rows(table: Any, styles: dict[str, str]) -> Iterator[str]:
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue  # a row of a table inside a cell; the cell's text holds it already
        cells = [
            one_line(" ".join(text for _, text in _blocks(cell, styles)))
            for cell in row.iter(f"{_W}tc")
            if next(cell.iterancestors(f"{_W}tr")) is row
        ]
        if any(cells):
            yield " | ".join(cell for cell in cells if cell)


def _text(element: Any) -> str:
    """The visible text of one paragraph, without that of text boxes anchored in it."""
    parts: list[str] = []
    for child in element:
        if child.tag == f"{_W}t":
            parts.append(child.text or "")
        elif child.tag in (f"{_W}br", f"{_W}cr"):
            parts.append("\n")
        elif child.tag == f"{_W}tab":
            parts.append(" ")
        elif child.tag == f"{_W}noBreakHyphen":
            parts.append("-")
        elif child.tag not in _SKIPPED and child.tag != f"{_W}txbxContent":
            parts.append(_text(child))
    return "".join(parts)
