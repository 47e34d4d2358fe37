"""Reading PowerPoint files (python-pptx)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

import pptx
from lxml import etree
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.exc import PythonPptxError

from recommender.extraction.archive import plain_copy
from recommender.extraction.content import Content, Metadata
from recommender.extraction.errors import Malformed, NoText, TooLarge
from recommender.extraction.limits import Limits
from recommender.extraction.office_properties import office_properties
from recommender.extraction.prose import has_words, one_line

_DAMAGED = "The PowerPoint file is damaged; open it, save it again and upload the new copy."
_FURNITURE = frozenset(
    {PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.HEADER}
)


def read_pptx(data: bytes, limits: Limits) -> Content:
    """Slide by slide: title, text, tables, then the speaker's notes; raises the tree of `errors`."""
    try:
        deck = pptx.Presentation(plain_copy(data, limits))
        slides = list(deck.slides)
    except (
        PythonPptxError,
        KeyError,
        ValueError,
        AttributeError,
        zipfile.BadZipFile,
        etree.XMLSyntaxError,
    ) as error:
        raise Malformed(_DAMAGED) from error
    if len(slides) > limits.max_pages:
        raise TooLarge(f"The file has {len(slides):,} slides; up to {limits.max_pages:,} are read.")
    blocks: list[str] = []
    first_title = None
    hidden = silent = 0
    for slide in slides:
        if slide.element.get("show") == "0":
            hidden += 1
            continue
        title, found = _slide(slide)
        first_title = first_title or title
        silent += not found
        blocks.extend(found)
    if not blocks:
        raise NoText(
            "The slides hold no text, only pictures; add text or notes, or upload the text as a document."
        )
    warnings = []
    if hidden:
        warnings.append(f"{hidden} hidden slide{'s were' if hidden > 1 else ' was'} left out.")
    if silent:
        warnings.append(f"{silent} slide{'s have' if silent > 1 else ' has'} no text, only pictures.")
    properties = office_properties(deck.core_properties)
    return Content(
        body="\n\n".join(blocks),
        title=properties.title or first_title,
        summary=properties.description,
        language=properties.language,
        warnings=tuple(warnings),
        metadata=Metadata(published_at=properties.created_at),
    )


def _slide(slide: Any) -> tuple[str | None, list[str]]:
    title_shape = slide.shapes.title
    title = one_line(title_shape.text_frame.text) if title_shape is not None else ""
    blocks = [title] if has_words(title) else []
    for shape in _flat(slide.shapes):
        if title_shape is None or shape.shape_id != title_shape.shape_id:
            text = _shape_text(shape)
            if has_words(text):
                blocks.append(text)
    if slide.has_notes_slide:
        frame = slide.notes_slide.notes_text_frame
        if frame is not None and has_words(frame.text):
            blocks.append(_frame_text(frame))
    return title or None, blocks


def _flat(shapes: Any) -> Iterator[Any]:
    """Every shape, those inside groups too; a list does the walking, for groups nest as deep as one likes."""
    waiting = list(shapes)[::-1]
    while waiting:
        shape = waiting.pop()
        if hasattr(shape, "shapes"):
            waiting.extend(list(shape.shapes)[::-1])
        else:
            yield shape


def _shape_text(shape: Any) -> str:
    if shape.is_placeholder and shape.placeholder_format.type in _FURNITURE:
        return ""
    if getattr(shape, "has_table", False):
        rows = ([one_line(cell.text) for cell in row.cells] for row in shape.table.rows)
        return "\n".join(" | ".join(cell for cell in cells if cell) for cells in rows if any(cells))
    return _frame_text(shape.text_frame) if shape.has_text_frame else ""


def _frame_text(frame: Any) -> str:
    lines = [one_line(paragraph.text) for paragraph in frame.paragraphs]
    lines = [line for line in lines if line]
    if len(lines) > 1 and all(len(line) < 200 for line in lines):
        return "\n".join(f"- {line}" for line in lines)
    return "\n\n".join(lines)
