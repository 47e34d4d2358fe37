"""Text out of an uploaded file, whatever its form.

`extract` holds the limits that can be counted. Time and memory it cannot hold: call it through
`sandbox.Sandbox` for every file that comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from lxml import etree

from recommender.extraction.content import Content, Extracted
from recommender.extraction.errors import ExtractionError, Malformed, NoText, TooLarge, TooMuchMemory
from recommender.extraction.language import detect_language, language_code
from recommender.extraction.limits import MEBIBYTE, Limits
from recommender.extraction.markdown import read_markdown
from recommender.extraction.pdf import read_pdf
from recommender.extraction.plaintext import read_text
from recommender.extraction.prose import has_words, leading_title, one_line, shorten, summarise, tidy
from recommender.extraction.slides import read_pptx
from recommender.extraction.sniffing import sniff
from recommender.extraction.webpage import read_html
from recommender.extraction.word import read_docx

_MAX_TITLE_CHARACTERS = 300
_MAX_SUMMARY_CHARACTERS = 1_000
_SHORT_BODY_CHARACTERS = 100
_TOO_MUCH_MEMORY = "Reading the file takes too much memory; split it or upload it in a simpler form."

_READERS: Mapping[str, Callable[[bytes, Limits], Content]] = {
    "pdf": read_pdf,
    "docx": read_docx,
    "pptx": read_pptx,
    "html": read_html,
    "markdown": read_markdown,
    "text": read_text,
}


def extract(data: bytes, filename: str, declared_type: str | None, limits: Limits) -> Extracted:
    """Title, summary, body and facts of one file.

    `filename` and `declared_type` are hints; the bytes decide. Raises the tree of `errors` and nothing else.
    """
    if len(data) > limits.max_bytes:
        allowed = limits.max_bytes // MEBIBYTE
        raise TooLarge(
            f"The file has {len(data) / MEBIBYTE:,.0f} MB; up to {allowed} MB are read. Upload a smaller one."
        )
    if not data.strip(b"\x00 \t\r\n"):
        raise NoText("The file is empty; check that it was saved and upload it again.")
    try:
        sniffed = sniff(data, filename, declared_type, limits)
        content = _READERS[sniffed.form](data, limits)
        content = replace(content, warnings=(*sniffed.warnings, *content.warnings))
        return _finish(content, sniffed.form, filename, limits)
    except (ExtractionError, MemoryError) as error:
        if _ran_out_of_memory(error):
            raise TooMuchMemory(_TOO_MUCH_MEMORY) from error
        raise
    except RecursionError as error:
        raise Malformed(
            "The file is nested too deeply to be read; save it again in a simpler form.", unforeseen=True
        ) from error
    except Exception as error:
        # The parsers raise whatever their authors did not foresee; a hostile file makes no server error.
        if _ran_out_of_memory(error):
            raise TooMuchMemory(_TOO_MUCH_MEMORY) from error
        raise Malformed(
            "The file could not be read; open it, save it again and upload the new copy.", unforeseen=True
        ) from error


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory was the cause; libxml2 reports that as if the document were at fault."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, etree.LxmlError) and any(
            entry.type == etree.ErrorTypes.ERR_NO_MEMORY for entry in error.error_log
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _finish(content: Content, form: str, filename: str, limits: Limits) -> Extracted:
    warnings = list(content.warnings)
    # Tidying what is cut off anyway would take longer than everything else.
    body = tidy(content.body[: 2 * limits.max_characters])
    title = one_line(content.title or leading_title(body) or "")
    body = _without_leading(body, title)
    if not has_words(body):
        if not has_words(title):
            raise NoText("The file holds no text; check what is in it and upload it again.")
        body = title
    if len(body) > limits.max_characters:
        body = body[: limits.max_characters].rsplit(" ", 1)[0]
        warnings.append(f"The text is very long; the first {limits.max_characters:,} characters were kept.")
    if not has_words(title):
        title = _title_from(filename)
        if title:
            warnings.append("The file names no title; its file name was taken. Please check it.")
    if len(body) < _SHORT_BODY_CHARACTERS:
        warnings.append("The file holds very little text; recommendations for it will be less exact.")
    summary = one_line(content.summary or "")
    declared = language_code(content.language)
    language = declared if content.language_is_certain and declared else detect_language(body) or declared
    return Extracted(
        title=shorten(title, _MAX_TITLE_CHARACTERS) or None,
        summary=shorten(summary, _MAX_SUMMARY_CHARACTERS) or summarise(body),
        body=body,
        language=language,
        form=form,
        warnings=tuple(warnings),
        metadata=content.metadata,
    )


def _without_leading(body: str, title: str) -> str:
    """The body without the title as its first paragraph, for the title is kept in a field of its own."""
    first, _, rest = body.partition("\n\n")
    if title and rest and one_line(first).casefold() == title.casefold():
        return rest
    line, _, after = body.partition("\n")
    if title and after and one_line(line).casefold() == title.casefold():
        return after.strip()
    return body


def _title_from(filename: str) -> str:
    stem = PurePosixPath(filename.replace("\\", "/")).stem
    name = one_line(stem.replace("_", " ").replace("-", " "))
    return name[:1].upper() + name[1:] if has_words(name) else ""
