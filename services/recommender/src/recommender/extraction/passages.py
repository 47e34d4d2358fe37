"""Cutting long text into passages that an encoder of 256 tokens reads whole."""

from __future__ import annotations

import re

from recommender.extraction.prose import sentences, shorten, tidy

# Letters a token, measured with the vocabulary of all-MiniLM-L6-v2 (see the test of this module) and
# set a good tenth below what was found, so that a passage of 200 estimated tokens stays below 256 real ones:
# English prose has 4.3 to 4.7, German 2.4, Portuguese and Spanish 2.6 to 3.
_LETTERS_PER_TOKEN_ENGLISH = 3.9
_LETTERS_PER_TOKEN_OTHER = 2.4
_DIGITS_PER_TOKEN = 1.6
_ENGLISH = frozenset(
    ["the", "of", "and", "to", "a", "in", "is", "that", "for", "with", "on", "as", "are", "it", "by"]
)
_ENGLISH_SHARE = 0.12
_WORD = re.compile(r"[^\W\d_]+")
_LATIN_END = "\u024f"


def letters_per_token(text: str) -> float:
    """The ratio to count `text` with: English when enough of its first words are English function words."""
    words = [match.group().lower() for match in _WORD.finditer(text[:4_000])]
    english = sum(word in _ENGLISH for word in words)
    return _LETTERS_PER_TOKEN_ENGLISH if english > _ENGLISH_SHARE * len(words) else _LETTERS_PER_TOKEN_OTHER


def estimate_tokens(text: str, ratio: float) -> float:
    """Tokens of `text`, estimated high: letters by `ratio`, digits, and one for every other sign."""
    letters = digits = others = 0
    for sign in text:
        if sign.isspace():
            continue
        if sign.isdigit():
            digits += 1
        elif sign.isalpha() and sign <= _LATIN_END:
            letters += 1
        else:
            others += 1
    return letters / ratio + digits / _DIGITS_PER_TOKEN + others


def split_passages(
    title: str | None,
    summary: str | None,
    body: str,
    max_tokens: int = 200,
    overlap: int = 24,
    max_passages: int = 48,
) -> list[str]:
    """Title and summary, then the body in passages of at most `max_tokens` estimated tokens.

    Cut at paragraph ends where possible, else at sentence ends, else at word ends. A passage begins with the
    last sentences of the one before when they have at most `overlap` tokens. Of more than `max_passages`,
    evenly spread ones are kept, the first and the last among them. Empty only when there is no text at all.
    """
    head = tidy("\n\n".join(part for part in (title, summary) if part))
    body = tidy(body)
    ratio = letters_per_token(body or head)
    passages = _pack(_pieces(body, max_tokens, ratio), max_tokens, overlap, ratio)
    if head:
        passages.insert(0, _fitted(head, max_tokens, ratio))
    return _spread(passages, max_passages)


def _pieces(text: str, max_tokens: int, ratio: float) -> list[tuple[str, bool]]:
    """(sentence, whether it begins a paragraph), none longer than `max_tokens`."""
    pieces: list[tuple[str, bool]] = []
    for paragraph in filter(None, text.split("\n\n")):
        begins = True
        for line in paragraph.split("\n"):
            for sentence in sentences(line):
                for part in _cut(sentence, max_tokens, ratio):
                    pieces.append((part, begins))
                    begins = False
    return pieces


def _cut(sentence: str, max_tokens: int, ratio: float) -> list[str]:
    if estimate_tokens(sentence, ratio) <= max_tokens:
        return [sentence]
    parts: list[str] = []
    current: list[str] = []
    size = 0.0
    for word in sentence.split():
        # A "word" without an end (a data URL, Chinese) is cut by letters.
        for at in range(0, len(word), max_tokens):
            piece = word[at : at + max_tokens]
            tokens = estimate_tokens(piece, ratio)
            if current and size + tokens > max_tokens:
                parts.append(" ".join(current))
                current, size = [], 0.0
            current.append(piece)
            size += tokens
    if current:
        parts.append(" ".join(current))
    return parts


def _pack(pieces: list[tuple[str, bool]], max_tokens: int, overlap: int, ratio: float) -> list[str]:
    passages: list[str] = []
    current: list[tuple[str, bool]] = []
    sizes: list[float] = []
    fresh = 0  # pieces in `current` that no passage holds yet
    for piece, begins in pieces:
        tokens = estimate_tokens(piece, ratio)
        total = sum(sizes)
        # A paragraph end is a better place to cut than the middle of the next paragraph.
        if fresh and (total + tokens > max_tokens or (begins and total > 0.75 * max_tokens)):
            passages.append(_joined(current))
            current, sizes = _tail(current, sizes, min(overlap, max_tokens - tokens))
            fresh = 0
        current.append((piece, begins))
        sizes.append(tokens)
        fresh += 1
    if fresh:
        passages.append(_joined(current))
    return passages


def _tail(
    current: list[tuple[str, bool]], sizes: list[float], allowance: float
) -> tuple[list[tuple[str, bool]], list[float]]:
    kept = 0
    size = 0.0
    while kept < len(current) - 1 and size + sizes[-1 - kept] <= allowance:
        size += sizes[-1 - kept]
        kept += 1
    return (current[-kept:], sizes[-kept:]) if kept else ([], [])


def _joined(pieces: list[tuple[str, bool]]) -> str:
    text = pieces[0][0]
    for piece, begins in pieces[1:]:
        text += ("\n\n" if begins else " ") + piece
    return text


def _fitted(head: str, max_tokens: int, ratio: float) -> str:
    while estimate_tokens(head, ratio) > max_tokens:
        head = shorten(head, int(len(head) * 0.9))
    return head


def _spread(passages: list[str], most: int) -> list[str]:
    if len(passages) <= most:
        return passages
    if most == 1:
        return passages[:1]
    last = len(passages) - 1
    return [passages[round(number * last / (most - 1))] for number in range(most)]
