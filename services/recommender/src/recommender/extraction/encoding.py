"""Finding out how text bytes are encoded, and reading them."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

_MARKS: tuple[tuple[bytes, str], ...] = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 20_000

# Single-byte encodings of Latin script that look alike to a detector. On German or French text the choice
# between them is a coin toss, so cp1252 wins unless reading it as such puts signs inside words.
_LATIN_FAMILY = re.compile(
    r"cp125[024678]|latin|iso8859|mac_|cp4[43]7|cp85\d|cp86\d|hp_roman|cp1140|cp500|cp037"
)
_SIGN_IN_WORD = re.compile(r"[A-Za-z][¹²³¿¼½¾¡£¥ª¯¢±][a-z]|[a-z][¹³¿¼¾£¥ª¯±]\b")


def marked_encoding(data: bytes) -> str | None:
    """The encoding a byte order mark, or the zero bytes of UTF-16 without a mark, gives away."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    sample = data[:2_000]
    if len(sample) >= 4 and b"\x00" in sample:
        half = len(sample) // 2
        if sample[1::2].count(0) > 0.6 * half and sample[0::2].count(0) < 0.1 * half:
            return "utf-16-le"
        if sample[0::2].count(0) > 0.6 * half and sample[1::2].count(0) < 0.1 * half:
            return "utf-16-be"
    return None


def is_binary(data: bytes) -> bool:
    """Whether the bytes are no text in any encoding we read."""
    if marked_encoding(data) is not None:
        return False
    sample = data[:8_000]
    odd = sum(byte < 32 and byte not in b"\t\n\r\f\x1b\x0b" for byte in sample)
    return b"\x00" in sample or odd > 0.05 * len(sample)


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """The text and the encoding it was read with; never fails, in the worst case signs are replaced.

    Order: byte order mark, UTF-8 if it is valid, the declared encoding, then a guess.
    """
    marked = marked_encoding(data)
    if marked is not None:
        return data.decode(marked, errors="replace"), marked
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        # A file cut short in the middle of a sign is still UTF-8.
        if error.start >= len(data) - 3 and error.start > 0:
            return data.decode("utf-8", errors="ignore"), "utf-8"
    for name in (declared, _guess(data)):
        if name is not None:
            try:
                return data.decode(name), name
            except (UnicodeError, LookupError):
                continue
    return data.decode("cp1252", errors="replace"), "cp1252"


def _guess(data: bytes) -> str:
    sample = data[:_SAMPLE_BYTES]
    if all(byte < 128 for byte in sample):  # the signs that matter come later
        first = next((at for at, byte in enumerate(data) if byte >= 128), 0)
        sample = data[max(0, first - 2_000) : first + _SAMPLE_BYTES]
    # A few broken bytes in what is otherwise UTF-8 are damage, not another encoding.
    lenient = sample.decode("utf-8", errors="replace")
    broken = lenient.count("\ufffd")
    if sum(ord(sign) > 127 for sign in lenient) > 10 * broken:
        return "utf-8"
    best = from_bytes(sample).best()
    if best is None:
        return "cp1252"
    if _LATIN_FAMILY.search(best.encoding) and not _SIGN_IN_WORD.search(
        sample.decode("cp1252", errors="replace")
    ):
        return "cp1252"
    return best.encoding
