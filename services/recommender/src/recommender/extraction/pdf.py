"""Reading PDF files (pypdf)."""

from __future__ import annotations

import io
import re
import time
from typing import Any

from pypdf import PdfReader, apply_configuration
from pypdf.errors import PyPdfError

from recommender.extraction.content import Content, Metadata, moment
from recommender.extraction.errors import Encrypted, Malformed, NoText, TooLarge
from recommender.extraction.limits import Limits
from recommender.extraction.pdf_layout import Run, join_pages, with_gaps
from recommender.extraction.prose import has_words, one_line

_DAMAGED = "The PDF is damaged or incomplete; open it, save it again as PDF and upload the new copy."
_LOCKED = "The PDF is protected with a password; save a copy without one and upload that."
# Titles that programs write when nobody gave one.
_JUNK_TITLE = re.compile(
    r"^\(?(untitled|unbenannt|document\d*|dokument\d*|anonymous|unspecified|title|presentation\d*)\)?$"
    r"|^powerpoint[- ]|^word document$"
    r"|^microsoft (office )?(word|powerpoint)|\.(docx?|pptx?|indd|pdf|qxp|rtf|odt)$",
    re.IGNORECASE,
)
_MIN_SUBJECT_CHARACTERS = 40


def read_pdf(data: bytes, limits: Limits) -> Content:
    """The text of a PDF, page by page, lines joined into paragraphs; raises the tree of `errors`."""
    # jbig2dec is a program pypdf may start for pictures; text needs none.
    with apply_configuration(
        disable_legacy_handling=True, jbig2dec_binary=None, page_tree_maximum_entries=20_000
    ):
        try:
            return _read(PdfReader(io.BytesIO(data)), limits)
        except PyPdfError as error:
            raise Malformed(_DAMAGED) from error


def _read(reader: PdfReader, limits: Limits) -> Content:
    # Many PDFs only forbid printing: they carry an empty password and anyone may read them.
    if reader.is_encrypted and not reader.decrypt(""):
        raise Encrypted(_LOCKED)
    count = len(reader.pages)
    if count > limits.max_pages:
        raise TooLarge(
            f"The PDF has {count:,} pages; up to {limits.max_pages:,} are read. Split it and upload parts."
        )
    pages: list[str] = []
    broken = characters = 0
    largest = ""
    cpu, wall = time.process_time(), time.monotonic()
    for number in range(count):
        if characters > limits.max_characters:
            break
        if (
            time.process_time() - cpu > limits.page_cpu_seconds
            or time.monotonic() - wall > limits.page_wall_seconds
        ):
            break
        try:
            page = reader.pages[number]
            text, runs = _page(page)
            if number == 0:
                largest = _largest(runs)
        except (PyPdfError, KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError):
            broken += 1  # one unreadable page must not cost the reader the other forty
            text = ""
        pages.append(text)
        characters += len(text)
    empty = sum(not has_words(page) for page in pages)
    if empty == len(pages):
        if broken:
            raise Malformed(_DAMAGED)
        raise NoText(
            "The PDF holds no text, perhaps scanned images; run text recognition (OCR), upload the result."
        )
    warnings = []
    if len(pages) < count and characters <= limits.max_characters:
        warnings.append(
            f"Only the first {_pages(len(pages))} of {count:,} were read: the PDF takes long to read."
        )
    if broken:
        warnings.append(f"{_pages(broken)} of the PDF could not be read.")
    if empty - broken > 0:
        they = "it may be a scanned image" if empty - broken == 1 else "they may be scanned images"
        warnings.append(f"The PDF has {_pages(empty - broken)} without text; {they}.")
    info = _properties(reader)
    title = one_line(info.get("title", ""))
    subject = one_line(info.get("subject", ""))
    return Content(
        body=join_pages(pages),
        title=(title if title and not _JUNK_TITLE.search(title) else largest) or None,
        summary=subject if len(subject) >= _MIN_SUBJECT_CHARACTERS else None,
        language=info.get("language"),
        warnings=tuple(warnings),
        metadata=Metadata(published_at=moment(info.get("created"))),
    )


def _pages(count: int) -> str:
    return f"{count} page" if count == 1 else f"{count} pages"


def _page(page: Any) -> tuple[str, list[Run]]:
    """The text of a page, paragraphs that stand apart on the paper a blank line apart, and its runs."""
    runs: list[Run] = []

    def visit(text: str, user: list[float], matrix: list[float], _font: object, size: float) -> None:
        if text:
            scale = abs(matrix[3] or matrix[0] or 1.0) * abs(user[3] or 1.0)
            runs.append(Run(text, round(float(size) * scale, 1), float(matrix[5] * user[3] + user[5])))

    text = page.extract_text(visitor_text=visit)
    spaced = with_gaps(runs)
    return (spaced if "".join(spaced.split()) == "".join(text.split()) else text), runs


def _largest(runs: list[Run]) -> str:
    """What stands in the largest letters, when it reads like a title."""
    worded = [run for run in runs if has_words(run.text)]
    sizes = [run.size for run in worded]
    if not sizes or max(sizes) <= min(sizes):
        return ""
    title = one_line(" ".join(run.text for run in worded if run.size == max(sizes)))
    return title if 4 <= len(title) <= 200 else ""


def _properties(reader: PdfReader) -> dict[str, str]:
    """Title, subject, creation time and language; a broken property is no reason to refuse the text."""
    found: dict[str, str] = {}
    try:
        info = reader.metadata
        if info is not None:
            for name, value in (("title", info.title), ("subject", info.subject)):
                if isinstance(value, str):
                    found[name] = str(value)
            created = info.creation_date
            if created is not None:
                found["created"] = created.isoformat()
        language = reader.root_object.get("/Lang")
        if isinstance(language, str):
            found["language"] = str(language)
    except (PyPdfError, ValueError, TypeError, AttributeError, KeyError, OverflowError):
        return found
    return found
