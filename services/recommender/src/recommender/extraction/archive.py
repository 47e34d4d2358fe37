"""Opening Office archives safely: what is in them, how far they inflate, and a copy without surprises."""

from __future__ import annotations

import io
import zipfile
import zlib

from recommender.extraction.errors import Encrypted, Malformed, TooLarge, UnsupportedForm
from recommender.extraction.limits import Limits

_MAIN_PARTS = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx"}
_CHUNK = 64 * 1024
_DAMAGED = "The file is damaged or incomplete; open it, save it again and upload the new copy."
_BOMB = "The file unpacks to far more than a document should hold; save it again from Word or PowerPoint."
# Office files never declare a document type; one that does tries to make the XML reader expand or fetch
# things.
_DOCTYPES = tuple("<!DOCTYPE".encode(name) for name in ("utf-8", "utf-16-le", "utf-16-be"))


def office_form(data: bytes, limits: Limits) -> str:
    """`docx` or `pptx`, by the parts in the archive; raises UnsupportedForm for every other archive."""
    with _opened(data, limits) as archive:
        names = set(archive.namelist())
    if "[Content_Types].xml" in names:
        for part, form in _MAIN_PARTS.items():
            if part in names:
                return form
        if any(name.startswith("xl/") for name in names):
            raise UnsupportedForm("The file is an Excel workbook; save the sheet as CSV and use the import.")
    if "mimetype" in names and any(name == "content.xml" for name in names):
        raise UnsupportedForm("The file is an OpenDocument file; save it as .docx, .pptx or PDF.")
    raise UnsupportedForm("The file is a ZIP archive; unpack it and upload the documents in it.")


def plain_copy(data: bytes, limits: Limits) -> io.BytesIO:
    """The archive again, stored without compression, holding its XML parts and empty stand-ins for the rest.

    Whoever parses the copy can inflate nothing: every byte in it has been counted here. Pictures and embedded
    files are not read at all. Sizes the archive declares are checked first, then those really found.
    """
    copy = io.BytesIO()
    total = 0
    with _opened(data, limits) as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as out:
        seen: set[str] = set()
        for entry in archive.infolist():
            if entry.filename in seen or entry.is_dir() or _climbs(entry.filename):
                continue
            seen.add(entry.filename)
            part = b""
            if entry.filename.lower().endswith((".xml", ".rels")):
                part = _inflate(data, entry, limits, limits.max_inflated_bytes - total)
                total += len(part)
                if any(doctype in part for doctype in _DOCTYPES):
                    raise Malformed(
                        "The file holds a document type declaration, which Office files never do."
                    )
            out.writestr(zipfile.ZipInfo(entry.filename), part)
    copy.seek(0)
    return copy


def _opened(data: bytes, limits: Limits) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (
        zipfile.BadZipFile,
        ValueError,
        NotImplementedError,
        EOFError,
        UnicodeError,
        OverflowError,
    ) as error:
        raise Malformed(_DAMAGED) from error
    entries = archive.infolist()
    if len(entries) > limits.max_archive_entries:
        raise TooLarge(
            f"The file holds {len(entries):,} parts; up to {limits.max_archive_entries:,} are read."
        )
    parts = [entry for entry in entries if entry.filename.lower().endswith((".xml", ".rels"))]
    if sum(entry.file_size for entry in parts) > limits.max_inflated_bytes:
        raise TooLarge(_BOMB)
    if any(_is_bomb(entry.file_size, entry.compress_size, limits) for entry in entries):
        raise TooLarge(_BOMB)
    if any(entry.flag_bits & 0x1 for entry in entries):
        raise Encrypted("The file is protected with a password; save a copy without one and upload that.")
    return archive


def _is_bomb(inflated: int, packed: int, limits: Limits) -> bool:
    return inflated > limits.ratio_floor_bytes and inflated > limits.max_ratio * max(1, packed)


def _inflate(data: bytes, entry: zipfile.ZipInfo, limits: Limits, allowance: int) -> bytes:
    """The bytes of one entry, never more than `allowance`, whatever its header claims.

    Reads the entry itself and not through `zipfile`, which inflates a whole entry before it cuts the
    result to the declared size.
    """
    header = data[entry.header_offset : entry.header_offset + 30]
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise Malformed(_DAMAGED)
    begin = entry.header_offset + 30 + int.from_bytes(header[26:28], "little")
    begin += int.from_bytes(header[28:30], "little")
    packed = memoryview(data)[begin : begin + entry.compress_size]
    if entry.compress_type == zipfile.ZIP_STORED:
        if len(packed) > allowance:
            raise TooLarge(_BOMB)
        return bytes(packed)
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise Malformed(
            "The file is packed in a way Office never uses; save it again and upload the new copy."
        )
    inflater = zlib.decompressobj(-15)
    out = bytearray()
    rest = bytes(packed)
    try:
        while rest and not inflater.eof:
            piece = inflater.decompress(rest, _CHUNK)
            out += piece
            rest = inflater.unconsumed_tail
            if len(out) > allowance or _is_bomb(len(out), entry.compress_size, limits):
                raise TooLarge(_BOMB)
            if not piece and not rest:
                break
    except zlib.error as error:
        raise Malformed(_DAMAGED) from error
    if not inflater.eof or len(out) != entry.file_size:
        raise Malformed(_DAMAGED)
    return bytes(out)


def _climbs(name: str) -> bool:
    """A name that would leave the folder it is unpacked into; skipped, though nothing goes to disk."""
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name
