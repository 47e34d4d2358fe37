"""Plain text as people read it: tidied, cut into sentences, shortened at a sentence or word end."""

from __future__ import annotations

import re
import unicodedata

SUMMARY_CHARACTERS = 300
TITLE_CHARACTERS = 120

# Control signs, lone surrogates, soft hyphens, zero-width signs and byte order marks: PostgreSQL refuses
# the first two, and the rest split words that a reader sees as one.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\u00ad\u200b\u2060\ufeff\ufffe\uffff]"
)
_BREAK = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028]")
_BLANKS = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’»“)\]]*(?=\s|$)|[。！？]")

# A full stop after one of these does not end a sentence (English and German; compared in lower case).
_ABBREVIATIONS_TEXT = (
    "e.g i.e etc vs mr mrs ms dr prof inc ltd co corp no fig approx jr sr st u.s "
    "z.b d.h u.a bzw ca usw ggf inkl vgl nr abs evtl sog o.ä v.a i.d.r u.u mio mrd z.t str"
)
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())


def tidy(text: str) -> str:
    """Normal form C, no invisible signs, single blanks, lines stripped, paragraphs one blank line apart."""
    text = _BREAK.sub("\n", text).replace("\u2029", "\n\n")
    text = _INVISIBLE.sub("", text)
    text = _BLANKS.sub(" ", unicodedata.normalize("NFC", text))
    lines = (line.strip() for line in text.split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def one_line(text: str) -> str:
    """`tidy` text on a single line."""
    return " ".join(tidy(text).split())


def has_words(text: str) -> bool:
    """Whether there is anything in it that a reader would call a word."""
    return any(sign.isalnum() for sign in text)


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph, in order, with their closing marks."""
    found: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match.group().startswith(".") and _is_abbreviation(text[start : match.start()]):
            continue
        sentence = text[start : match.end()].strip()
        if sentence:
            found.append(sentence)
        start = match.end()
    rest = text[start:].strip()
    if rest:
        found.append(rest)
    return found


def _is_abbreviation(before: str) -> bool:
    words = before[-20:].split()
    if not words:
        return False
    last = words[-1].lstrip("(\"'„“").lower()
    # "3. Schritt", "J. Smith", "z. B.": ordinals and initials
    return (
        last in _ABBREVIATIONS or (last.isdigit() and len(last) <= 2) or (len(last) == 1 and last.isalpha())
    )


def shorten(text: str, characters: int) -> str:
    """`text` in at most `characters`, cut at a word end and closed with an ellipsis when cut."""
    if len(text) <= characters:
        return text
    head = text[: characters - 1]
    space = head.rfind(" ")
    if space > characters // 2:
        head = head[:space]
    return head.rstrip(" ,;:–-") + "…"


def summarise(body: str, characters: int = SUMMARY_CHARACTERS) -> str | None:
    """The first one or two sentences of running text in `body`, within `characters`; None without text.

    Headings, list items and table rows are passed over as long as there is a real paragraph.
    """
    paragraphs = [paragraph for paragraph in body.split("\n\n") if has_words(paragraph)]
    if not paragraphs:
        return None
    running = [paragraph for paragraph in paragraphs[:20] if _is_running_text(paragraph)]
    parts = sentences(" ".join((running or paragraphs)[0][: 10 * characters].split()))
    summary = parts[0]
    if len(parts) > 1 and len(summary) + 1 + len(parts[1]) <= characters:
        summary = f"{summary} {parts[1]}"
    return shorten(summary, characters)


def leading_title(body: str) -> str | None:
    """The first line of `body` when it reads like a title: short, one phrase, and text comes after it."""
    first, _, rest = body.partition("\n")
    first = first[: 2 * TITLE_CHARACTERS].lstrip("# ").strip()
    looks_like_one = (
        has_words(first)
        and len(first) <= TITLE_CHARACTERS
        and not first.endswith((".", ",", ";", ":"))
        and not first.startswith("- ")
        and " | " not in first
        and len(sentences(first)) == 1
        and has_words(rest)
    )
    return first if looks_like_one else None


def _is_running_text(paragraph: str) -> bool:
    first = paragraph.lstrip()
    return (
        len(paragraph) >= 60
        and not first.startswith(("- ", "• "))
        and " | " not in paragraph
        and _SENTENCE_END.search(paragraph) is not None
    )
