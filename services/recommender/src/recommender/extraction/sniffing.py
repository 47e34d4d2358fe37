"""Telling from its bytes what a file is; its name and declared type are only hints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from recommender.extraction.archive import office_form
from recommender.extraction.encoding import decode, is_binary
from recommender.extraction.errors import Encrypted, Malformed, UnsupportedForm
from recommender.extraction.limits import Limits

READABLE = "PDF, DOCX, PPTX, HTML, Markdown and plain text"

_PACKED_FORMS = {".pdf": "PDF", ".docx": "Word document", ".pptx": "PowerPoint file"}
_FORM_SUFFIXES = {
    "pdf": (".pdf",),
    "docx": (".docx",),
    "pptx": (".pptx",),
}
_MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")
_HTML_SUFFIXES = (".html", ".htm", ".xhtml")

# First bytes of what people upload by mistake, and what to call it.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"#!", "a script"),
    (b"\x89PNG\r\n\x1a\n", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF87a", "an image"),
    (b"GIF89a", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"RIFF", "an image, sound or video file"),
    (b"OggS", "a sound or video file"),
    (b"ID3", "a sound file"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"{\\rtf", "a rich text (RTF) file"),
    (b"%!PS", "a PostScript file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
)
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

# Readable as text, yet not a piece of content.
_NOT_CONTENT = {
    **dict.fromkeys(
        (".csv", ".tsv", ".json", ".ndjson", ".jsonl"), "a table or data file; use the import for it"
    ),
    **dict.fromkeys(
        (".exe", ".dll", ".com", ".bat", ".cmd", ".ps1", ".sh", ".msi", ".scr"), "a program or script"
    ),
    **dict.fromkeys((".js", ".py", ".php", ".css", ".sql", ".svg", ".xml"), "a technical file"),
}

_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|meta|article|main)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_HTML_TAG = re.compile(
    r"</?(?:p|div|h[1-6]|ul|ol|li|table|tr|td|section|article|span|script|a|br|img)[\s>/]", re.I
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?:.{0,400}\r?\n){1,200}?---[ \t]*\r?\n")


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What a file is, and what to tell the person whose file name says otherwise."""

    form: str
    warnings: tuple[str, ...] = ()


def sniff(data: bytes, filename: str, declared_type: str | None, limits: Limits) -> Sniffed:
    """The form of `data`; raises UnsupportedForm, Encrypted, Malformed or TooLarge (archives)."""
    suffix = PurePosixPath(filename.replace("\\", "/")).suffix.lower()
    start = data[:1024].lstrip(b"\xef\xbb\xbf\r\n\t \x00")
    if start.startswith(b"%PDF-") or (b"%PDF-" in data[:1024] and suffix == ".pdf"):
        return _named_otherwise("pdf", suffix)
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _named_otherwise(office_form(data, limits), suffix)
    if data.startswith(_COMPOUND_FILE):
        _refuse_compound_file(data)
    for magic, name in _FOREIGN:
        if data.startswith(magic):
            raise _foreign(name, suffix)
    if data[4:8] == b"ftyp":
        raise _foreign("a video or image", suffix)
    if is_binary(data):
        if suffix in _PACKED_FORMS:
            raise Malformed(
                f"The file is named {suffix} but is not a {_PACKED_FORMS[suffix]}, or it is damaged; "
                "open it, save it again and upload the new copy."
            )
        raise UnsupportedForm(f"The file is not a document we can read; upload {READABLE}.")
    return _sniff_text(data, suffix, (declared_type or "").split(";")[0].strip().lower())


def _sniff_text(data: bytes, suffix: str, declared: str) -> Sniffed:
    start, _ = decode(data[:16_384])
    looks_html = _HTML_START.match(start) is not None
    if suffix in _PACKED_FORMS:
        found = "a web page (perhaps a login or error page)" if looks_html else "plain text"
        raise UnsupportedForm(
            f"The file is named {suffix} but holds {found}, not a {_PACKED_FORMS[suffix]}; "
            "fetch the real file and upload that."
        )
    if suffix in _NOT_CONTENT:
        raise UnsupportedForm(f"A {suffix} file is {_NOT_CONTENT[suffix]}; upload {READABLE}.")
    if suffix in _MARKDOWN_SUFFIXES or (declared in ("text/markdown", "text/x-markdown") and not looks_html):
        return Sniffed("markdown")
    if looks_html:
        return Sniffed("html")
    if suffix in _HTML_SUFFIXES or declared in ("text/html", "application/xhtml+xml"):
        return Sniffed("html" if _HTML_TAG.search(start) else "text")
    if _FRONT_MATTER.match(start):
        return Sniffed("markdown")
    if suffix not in (".txt", ".text") and len(_HTML_TAG.findall(start)) >= 5:
        return Sniffed("html")
    return Sniffed("text")


def _named_otherwise(form: str, suffix: str) -> Sniffed:
    if suffix and suffix not in _FORM_SUFFIXES[form]:
        return Sniffed(
            form, (f"The file is named {suffix} but is a {form.upper()} file; it was read as that.",)
        )
    return Sniffed(form)


def _foreign(name: str, suffix: str) -> UnsupportedForm:
    if suffix in _PACKED_FORMS or suffix in (*_HTML_SUFFIXES, *_MARKDOWN_SUFFIXES, ".txt"):
        return UnsupportedForm(f"The file is named {suffix} but is {name}; upload {READABLE}.")
    return UnsupportedForm(f"The file is {name}; upload {READABLE}.")


def _refuse_compound_file(data: bytes) -> None:
    """Old Office files and encrypted new ones share a container; say which it is."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise Encrypted("The file is protected with a password; save a copy without one and upload that.")
    raise UnsupportedForm(
        "The file is in the old Office form (.doc, .ppt, .xls); save it as .docx, .pptx or PDF."
    )
