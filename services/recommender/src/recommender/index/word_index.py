"""Which assets hold which words: an inverted index over what is shown of them, growing as rows come."""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.domain.catalogue import AssetCard

_WORD = re.compile(r"\w{2,}", re.UNICODE)
# Read at a time under the lock, so that no search waits for a whole catalogue to be read.
_BLOCK = 500


class WordIndex:
    """Rows by the words of title, summary and topics. Thread-safe.

    A row is never changed, so one that was read stays read; what is dead is left to the caller's mask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows_with: dict[str, array[int]] = {}
        self._read = 0

    def grow(self, cards: Sequence[AssetCard]) -> None:
        """Take in the rows that came since; `cards` as the catalogue's, one a row."""
        while self._read < len(cards):
            with self._lock:
                for row in range(self._read, min(self._read + _BLOCK, len(cards))):
                    for word in _words_of(cards[row]):
                        self._rows_with.setdefault(word, array("i")).append(row)
                    self._read = row + 1

    def best(self, text: str, eligible: NDArray[np.bool_], count: int) -> list[int]:
        """At most `count` eligible rows that share words with the text, those that share rarer ones first.

        eligible: bool [N] over rows that `grow` was given. A word weighs log(1 + N / rows that hold it), its
        inverse document frequency (Spärck Jones 1972); how often it stands in an asset doesn't count.
        """
        shared = np.zeros(len(eligible), dtype=np.float64)
        # Sorted, since sums of floats depend on their order, and that of a set on the process.
        for word in sorted(set(_WORD.findall(text.lower()))):
            with self._lock:
                rows = np.array(self._rows_with.get(word, ()), dtype=np.int64)
            rows = rows[rows < len(eligible)]
            shared[rows] += np.log1p(len(eligible) / max(1, len(rows)))
        found = np.flatnonzero((shared > 0.0) & eligible)
        order = np.argsort(-shared[found], kind="stable")
        return [int(row) for row in found[order[:count]]]


def _words_of(card: AssetCard) -> set[str]:
    return set(_WORD.findall(f"{card.title} {card.summary or ''} {' '.join(card.topics)}".lower()))
