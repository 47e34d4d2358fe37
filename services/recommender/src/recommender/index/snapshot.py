"""The catalogue's rows in a file, so that a replica starts from them and reads only what changed since.

A file is used whole or not at all: it carries its format, its model, the revision that it was made at, and a
checksum over everything. It can always be thrown away, because the database is the truth.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import tempfile
import tokenize
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import orjson

from recommender.domain.catalogue import AssetCard
from recommender.index.catalogue_builder import LivingRows

_MAGIC = b"foreword-catalogue\n"
_FORMAT = 1
_CHECKSUM_BYTES = 32
_NAME = "catalogue.snapshot"
_HALF = f".{_NAME}-"
_ARRAYS = (
    "vectors",
    "has_vector",
    "approved",
    "publish_at",
    "expires_at",
    "published_at",
    "stage",
    "change",
)
# Where lists stand in a card, which JSON gives back as lists and a card holds as tuples.
_TUPLES = slice(7, 11)


# What the readers of JSON and of arrays raise for bytes that neither wrote.
_NO_ROWS = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, MemoryError, OverflowError,
    SyntaxError, RecursionError, tokenize.TokenError,
)  # fmt: skip


class SnapshotUnusable(Exception):
    """There is a snapshot, and it cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """What a snapshot was made of: it serves only where all of this holds.

    `fingerprint` stands for whatever else went into the rows, such as the stage model.
    """

    revision: int
    model_id: str | None
    dimension: int
    fingerprint: str


def write_snapshot(folder: Path, mark: SnapshotMark, rows: LivingRows) -> int:
    """Write beside the old one and rename, so that readers find either. → bytes. Raises OSError."""
    body = io.BytesIO()
    cards = orjson.dumps([[*astuple(card), key] for card, key in zip(rows.cards, rows.keys, strict=True)])
    body.write(len(cards).to_bytes(8, "big") + cards)
    for name in _ARRAYS:
        np.save(body, getattr(rows, name), allow_pickle=False)
    header = orjson.dumps(
        {
            "format": _FORMAT,
            "revision": mark.revision,
            "model_id": mark.model_id,
            "dimension": mark.dimension,
            "fingerprint": mark.fingerprint,
        }
    )
    content = header + b"\n" + body.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    _remove_halves(folder)
    descriptor, name = tempfile.mkstemp(prefix=_HALF, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            out.write(_MAGIC + _checksum(content))
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, folder / _NAME)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return len(_MAGIC) + _CHECKSUM_BYTES + len(content)


def _remove_halves(folder: Path) -> None:
    """What writers left behind that were killed: nobody holds the lock of such a file any more."""
    for half in folder.glob(f"{_HALF}*"):
        with contextlib.suppress(OSError), half.open("rb") as left:  # in use, or just put in its place
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            half.unlink()


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()


def read_snapshot(
    folder: Path, model_id: str | None, dimension: int, fingerprint: str
) -> tuple[SnapshotMark, LivingRows] | None:
    """None where there is none. Raises SnapshotUnusable for one that is damaged or made of something else."""
    try:
        with (folder / _NAME).open("rb") as stream:
            magic, checksum = stream.read(len(_MAGIC)), stream.read(_CHECKSUM_BYTES)
            content = stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotUnusable(f"it cannot be read ({type(error).__name__})") from error
    if magic != _MAGIC:
        raise SnapshotUnusable("it is no snapshot")
    if checksum != _checksum(content):
        raise SnapshotUnusable("its checksum does not fit")
    # Whole from here on: what does not fit now was written so.
    try:
        end = content.index(b"\n")
        header = orjson.loads(content[:end])
        written = header["format"]
        mark = SnapshotMark(
            header["revision"], header["model_id"], header["dimension"], header["fingerprint"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotUnusable("its head makes no sense") from error
    if written != _FORMAT:
        raise SnapshotUnusable(f"its format is {written}, ours is {_FORMAT}")
    if (mark.model_id, mark.dimension) != (model_id, dimension):
        raise SnapshotUnusable(f"its vectors are of {mark.model_id}, {model_id} serves")
    if mark.fingerprint != fingerprint:
        raise SnapshotUnusable("it was made with another stage model")
    try:
        return mark, _rows(content, end + 1)
    except _NO_ROWS as error:
        raise SnapshotUnusable(f"its rows make no sense ({type(error).__name__})") from error


def discard_snapshot(folder: Path) -> None:
    (folder / _NAME).unlink(missing_ok=True)


def _rows(content: bytes, start: int) -> LivingRows:
    body = io.BytesIO(content)
    body.seek(start)
    size = int.from_bytes(body.read(8), "big")
    cards: list[AssetCard] = []
    keys: list[str] = []
    for values in orjson.loads(body.read(size)):
        keys.append(values.pop())
        values[_TUPLES] = map(tuple, values[_TUPLES])
        cards.append(AssetCard(*values))
    arrays = {name: np.load(body, allow_pickle=False) for name in _ARRAYS}
    return LivingRows(cards=cards, keys=keys, **arrays)
