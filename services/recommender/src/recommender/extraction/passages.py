"""Cutting long text into passages that an encoder of 256 tokens reads whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

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
_BLANKS = re.compile(r"\s+")
_LATIN_LETTERS = re.compile(r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]+")
_DIGITS = re.compile(r"\d+")
_FULL_ENOUGH = 0.4


def letters_per_token(text: str) -> float:
    """The ratio to count `text` with: English when enough of its first words are English function words."""
    words = [match.group().lower() for match in _WORD.finditer(text[:4_000])]
    english = sum(word in _ENGLISH for word in words)
    return _LETTERS_PER_TOKEN_ENGLISH if english > _ENGLISH_SHARE * len(words) else _LETTERS_PER_TOKEN_OTHER


def estimate_tokens(text: str, ratio: float) -> float:
    """Tokens of `text`, estimated high: letters by `ratio`, digits, and one for every other sign."""
    signs = _BLANKS.sub("", text)
    letterless = _LATIN_LETTERS.sub("", signs)
    others = len(_DIGITS.sub("", letterless))
    letters = len(signs) - len(letterless)
    digits = len(letterless) - others
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
    passages = _pack(_pieces(body, max_tokens, ratio), max_tokens, overlap)
    if head:
        passages.insert(0, _fitted(head, max_tokens, ratio))
    return _spread(passages, max_passages)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence, its tokens, and, when it begins a paragraph, those of the whole paragraph (else 0)."""

    text: str
    tokens: float
    paragraph: float = 0.0


def _pieces(text: str, max_tokens: int, ratio: float) -> list[_Piece]:
    """The sentences of `text` in order, none longer than `max_tokens`."""
    pieces: list[_Piece] = []
    for paragraph in filter(None, text.split("\n\n")):
        parts = [
            part
            for line in paragraph.split("\n")
            for sentence in sentences(line)
            for part in _cut(sentence, max_tokens, ratio)
        ]
        found = [_Piece(part, estimate_tokens(part, ratio)) for part in parts]
        if found:
            found[0] = replace(found[0], paragraph=sum(piece.tokens for piece in found))
        pieces.extend(found)
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


def _pack(pieces: list[_Piece], max_tokens: int, overlap: int) -> list[str]:
    passages: list[str] = []
    current: list[_Piece] = []
    total = 0.0
    fresh = 0  # pieces in `current` that no passage holds yet
    for piece in pieces:
        # A paragraph end is a better place to cut than the middle of the next paragraph.
        before_paragraph = total + piece.paragraph > max_tokens and total > _FULL_ENOUGH * max_tokens
        if fresh and (total + piece.tokens > max_tokens or (piece.paragraph and before_paragraph)):
            passages.append(_joined(current))
            current = _tail(current, min(overlap, max_tokens - piece.tokens))
            total = sum(kept.tokens for kept in current)
            fresh = 0
        current.append(piece)
        total += piece.tokens
        fresh += 1
    if fresh:
        passages.append(_joined(current))
    return passages


def _tail(pieces: list[_Piece], allowance: float) -> list[_Piece]:
    """The last pieces that together have at most `allowance` tokens, never all of them."""
    kept = 0
    tokens = 0.0
    while kept < len(pieces) - 1 and tokens + pieces[-1 - kept].tokens <= allowance:
        tokens += pieces[-1 - kept].tokens
        kept += 1
    return pieces[len(pieces) - kept :]


def _joined(pieces: list[_Piece]) -> str:
    text = pieces[0].text
    for piece in pieces[1:]:
        text += ("\n\n" if piece.paragraph else " ") + piece.text
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
