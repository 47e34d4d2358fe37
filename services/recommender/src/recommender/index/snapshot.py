"""The catalogue's rows in a file, so that a replica starts from them and reads only what changed since.

A file is used whole or not at all: it carries its format, its model, the revision that it was made at, and a
checksum over everything. It can always be thrown away, because the database is the truth.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import mmap
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender.index.approximate import KeptIndex, Tuning
from recommender.index.card_columns import dumped, loaded
from recommender.index.catalogue_builder import LivingRows

_MAGIC = b"foreword-catalogue\n"
_FORMAT = 2
_CHECKSUM_BYTES = 32
_START = len(_MAGIC) + _CHECKSUM_BYTES
_ALIGNED = 64
_NAME = "catalogue.snapshot"
_HALF = f".{_NAME}-"
_INDEX = "index"
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
# What reading comes to where the checksum fits and the content was written wrongly.
_NONSENSE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, MemoryError, OverflowError, RecursionError,
)  # fmt: skip


class SnapshotUnusable(Exception):
    """There is a snapshot, and it cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """What a snapshot was made of: it serves only where all of this holds.

    `fingerprint` stands for whatever else went into the rows, such as the stage model. `indexed` is how many
    rows an approximate index was there for.
    """

    revision: int
    model_id: str | None
    dimension: int
    fingerprint: str
    indexed: int = 0


def write_snapshot(folder: Path, mark: SnapshotMark, rows: LivingRows, index: KeptIndex | None = None) -> int:
    """Write beside the old one and rename, so that readers find either. → bytes. Raises OSError."""
    arrays: dict[str, NDArray[Any]] = {
        "cards": np.frombuffer(dumped(rows.cards, rows.keys), dtype=np.uint8),
        **{name: getattr(rows, name) for name in _ARRAYS},
    }
    header: dict[str, object] = {
        "format": _FORMAT,
        "revision": mark.revision,
        "model_id": mark.model_id,
        "dimension": mark.dimension,
        "fingerprint": mark.fingerprint,
        "indexed": mark.indexed,
    }
    if index is not None:
        arrays[_INDEX] = index.content
        header["index"] = (index.rows, index.trained_on, *astuple(index.tuning))
    header["arrays"] = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    folder.mkdir(parents=True, exist_ok=True)
    _remove_halves(folder)
    descriptor, name = tempfile.mkstemp(prefix=_HALF, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            total = _write(out, orjson.dumps(header) + b"\n", arrays)
        os.replace(name, folder / _NAME)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return total


def _write(out: BinaryIO, header: bytes, arrays: Mapping[str, NDArray[Any]]) -> int:
    """Magic, checksum over all that follows, header, each array at a multiple of 64 bytes. → bytes"""
    checksum = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    out.write(_MAGIC + bytes(_CHECKSUM_BYTES))
    total = _START

    def put(content: bytes | memoryview) -> None:
        nonlocal total
        checksum.update(content)
        out.write(content)
        total += len(content)

    put(header)
    for array in arrays.values():
        put(bytes(-total % _ALIGNED))
        put(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    out.seek(len(_MAGIC))
    out.write(checksum.digest())
    out.flush()
    os.fsync(out.fileno())
    return total


def _remove_halves(folder: Path) -> None:
    """What writers left behind that were killed: nobody holds the lock of such a file any more."""
    for half in folder.glob(f"{_HALF}*"):
        with contextlib.suppress(OSError), half.open("rb") as left:  # in use, or just put in its place
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            half.unlink()


def _checksum(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()


def read_snapshot(
    folder: Path, model_id: str | None, dimension: int, fingerprint: str
) -> tuple[SnapshotMark, LivingRows, KeptIndex | None] | None:
    """None where there is none. Raises SnapshotUnusable for one that is damaged or made of something else.

    The arrays stay in the file, which is mapped.
    """
    try:
        with (folder / _NAME).open("rb") as stream:
            if os.fstat(stream.fileno()).st_size <= _START:
                raise SnapshotUnusable("it is no snapshot")
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotUnusable(f"it cannot be read ({type(error).__name__})") from error
    if content[: len(_MAGIC)] != _MAGIC:
        raise SnapshotUnusable("it is no snapshot")
    with memoryview(content) as whole, whole[_START:] as checked:
        fits = _checksum(checked) == content[len(_MAGIC) : _START]
    if not fits:
        raise SnapshotUnusable("its checksum does not fit")
    # Whole from here on: what does not fit now was written so.
    try:
        end = content.find(b"\n", _START)
        header = orjson.loads(content[_START:end])
        written = header["format"]
        mark = SnapshotMark(
            header["revision"],
            header["model_id"],
            header["dimension"],
            header["fingerprint"],
            header.get("indexed", 0),
        )
    except _NONSENSE as error:
        raise SnapshotUnusable("its head makes no sense") from error
    if written != _FORMAT:
        raise SnapshotUnusable(f"its format is {written}, ours is {_FORMAT}")
    if (mark.model_id, mark.dimension) != (model_id, dimension):
        raise SnapshotUnusable(f"its vectors are of {mark.model_id}, {model_id} serves")
    if mark.fingerprint != fingerprint:
        raise SnapshotUnusable("it was made with another stage model")
    try:
        return mark, *_content(content, end + 1, header)
    except _NONSENSE as error:
        raise SnapshotUnusable(f"its rows make no sense ({type(error).__name__})") from error


def discard_snapshot(folder: Path) -> None:
    (folder / _NAME).unlink(missing_ok=True)


def _content(content: mmap.mmap, at: int, header: Mapping[str, Any]) -> tuple[LivingRows, KeptIndex | None]:
    arrays = _arrays(content, at, header["arrays"])
    cards, keys = loaded(arrays.pop("cards").data)
    index = None
    if _INDEX in arrays:
        rows, trained_on, *tuning = header["index"]
        index = KeptIndex(arrays.pop(_INDEX), rows, trained_on, Tuning(*tuning))
    found = LivingRows(cards=cards, keys=keys, **arrays)
    if len(keys) != len(cards) or any(len(array) != len(cards) for array in arrays.values()):
        raise ValueError("columns of different lengths")
    return found, index


def _arrays(content: mmap.mmap, at: int, named: Iterable[tuple[str, str, Sequence[int]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind, shape in named:
        at += -at % _ALIGNED
        found[name] = np.frombuffer(content, kind, math.prod(shape), at).reshape(shape)
        at += found[name].nbytes
    return found
