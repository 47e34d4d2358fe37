"""Telling the language of a text (py3langid, a naive Bayes model over byte n-grams)."""

from __future__ import annotations

import re
import threading

from py3langid.langid import MODEL_FILE, LanguageIdentifier

_MIN_LETTERS = 40
_READ_CHARACTERS = 4_000
_MIN_CONFIDENCE = 0.4
_CODE = re.compile(r"[a-zA-Z]{2}(?=$|[-_ ,])")

_lock = threading.Lock()
_identifier: LanguageIdentifier | None = None


def _loaded() -> LanguageIdentifier:
    """The model, read on first use: it takes most of a second and about 70 MB."""
    global _identifier
    with _lock:
        if _identifier is None:
            _identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return _identifier


def detect_language(text: str) -> str | None:
    """ISO 639-1 code of the language `text` is written in; None when it is too short or unclear to tell."""
    sample = text[:_READ_CHARACTERS]
    if sum(sign.isalpha() for sign in sample) < _MIN_LETTERS:
        return None
    code, confidence = _loaded().classify(sample)
    return str(code) if confidence >= _MIN_CONFIDENCE and len(code) == 2 else None


def language_code(value: object) -> str | None:
    """The two-letter code in a language tag such as `de-DE` or `en_US`; None when there is none."""
    if not isinstance(value, str):
        return None
    match = _CODE.match(value.strip())
    return match.group().lower() if match else None
