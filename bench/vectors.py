"""Vectors to measure search with: real texts embedded, and as many more between them as are wanted.

Independent noise in 384 dimensions has no neighbours worth finding and makes every index look bad; copies of
a few texts make every index look good. So each vector made here is a real text's, moved along the difference
of two other real texts that are neighbours of each other: the moves have the directions and lengths in which
real neighbours differ, and what comes out is as clustered as the texts are.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.page import say

Matrix = NDArray[np.float32]
# Packages that every development installation has: prose by many authors on mathematics, data, language, web.
_PACKAGES = ("numpy", "scipy", "sklearn", "sqlalchemy", "transformers", "networkx", "sympy", "werkzeug")
_KEPT = Path("build/bench")
_SHORTEST, _LONGEST = 80, 600
_NEIGHBOURS = 8
_BLOCK = 100_000


def real_texts() -> list[str]:
    """Paragraphs of the documentation strings of installed packages, no two alike, in a fixed order."""
    found: dict[str, None] = {}
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            for path in sorted(Path(spec.origin).parent.rglob("*.py")):
                if "test" not in str(path):
                    found.update(dict.fromkeys(_paragraphs(path)))
    return list(found)


def _paragraphs(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            continue
        for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
            text = re.sub(r"\s+", " ", paragraph).strip()
            if ">>>" not in text and _SHORTEST <= len(text) <= _LONGEST:
                yield text


def real_vectors(count: int, folder: Path = _KEPT) -> Matrix:
    """float32 [count, d]: texts drawn from all of them, embedded with the default model; kept in `folder`."""
    path = folder / f"real-{count}.npy"
    if path.exists():
        return np.asarray(np.load(path), dtype=np.float32)
    from embedder.loading import load
    from embedder.settings import EmbedderSettings

    texts = real_texts()
    chosen = np.random.default_rng(0).permutation(len(texts))[:count]
    say(f"Embedding {len(chosen):,} of {len(texts):,} paragraphs, once.")
    vectors = load(EmbedderSettings.load()).encode([texts[i] for i in chosen])
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


def made_vectors(real: Matrix, count: int, rng: np.random.Generator, reach: float = 1.0) -> Matrix:
    """float32 [count, d], unit norm: x = a + reach · u · (b − c), a, b any of `real`, c among the nearest to
    b, u uniform in 0.3 to 1.
    """
    nearest = _nearest(real)
    made = np.empty((count, real.shape[1]), dtype=np.float32)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        first, second = rng.integers(len(real), size=(2, size))
        third = nearest[second, rng.integers(_NEIGHBOURS, size=size)]
        step = reach * rng.uniform(0.3, 1.0, size=(size, 1)).astype(np.float32)
        block = real[first] + step * (real[second] - real[third])
        made[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return made


def _nearest(real: Matrix) -> NDArray[np.int64]:
    """int64 [N, 8]: the rows nearest to each, itself left out."""
    found = np.empty((len(real), _NEIGHBOURS), dtype=np.int64)
    for start in range(0, len(real), 2_000):
        products = real[start : start + 2_000] @ real.T
        products[np.arange(len(products)), np.arange(start, start + len(products))] = -np.inf
        found[start : start + 2_000] = np.argpartition(-products, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    return found
