"""Lines out of a byte stream of any length: unpacked, decoded, and never more than a cap held in memory."""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from recommender.extraction.encoding import is_binary, marked_encoding
from recommender.extraction.limits import MEBIBYTE, RowLimits

_CHUNK = 64 * 1024


class StreamBroken(Exception):
    """Nothing more can be read; what came before stands. `code` is stable, `detail` is for the user."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Line(NamedTuple):
    """`text` without its line end (bytes that are no UTF-8 as surrogates), None when it is over the cap."""

    number: int
    text: str | None


class InflatedStream:
    """`read()` over a plain or gzip stream, told apart by its first bytes; inflation is capped."""

    def __init__(self, stream: BinaryIO, limits: RowLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._packed = self._inflated = 0
        self._rest = stream.read(_CHUNK)
        self._inflater = zlib.decompressobj(31) if self._rest.startswith(b"\x1f\x8b") else None

    def read(self) -> bytes:
        """The next bytes, at most about 64 KiB; empty at the end. Raises StreamBroken."""
        if self._inflater is None:
            piece, self._rest = self._rest, b""
            return piece or self._stream.read(_CHUNK)
        while True:
            if not self._rest:
                self._rest = self._stream.read(_CHUNK)
                if not self._rest:
                    if self._inflater.eof:
                        return b""
                    raise StreamBroken(
                        "gzip_broken", "The gzip file ends too early; pack and upload it again."
                    )
            if self._inflater.eof:
                # Some programs pad the end with zero bytes; several members in a row are one file.
                self._rest = self._rest.lstrip(b"\x00")
                if not self._rest:
                    continue
                self._inflater = zlib.decompressobj(31)
            before = len(self._rest)
            try:
                piece = self._inflater.decompress(self._rest, _CHUNK)
            except zlib.error as error:
                raise StreamBroken(
                    "gzip_broken", "The gzip file is damaged; pack and upload it again."
                ) from error
            self._rest = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            self._count(before - len(self._rest), len(piece))
            if piece:
                return piece

    def _count(self, packed: int, inflated: int) -> None:
        self._packed += packed
        self._inflated += inflated
        limits = self._limits
        if self._inflated > limits.max_inflated_bytes:
            allowed = limits.max_inflated_bytes // MEBIBYTE
            raise StreamBroken("too_large", f"The gzip file unpacks to more than {allowed:,} MB; split it.")
        if self._inflated > limits.ratio_floor_bytes and self._inflated > limits.max_ratio * max(
            1, self._packed
        ):
            raise StreamBroken("too_large", "The gzip file unpacks to far more than such a file should hold.")


class TextSource:
    """The text of an import: a sample of its beginning, then its lines."""

    def __init__(self, stream: BinaryIO, limits: RowLimits) -> None:
        """Reads the sample; raises StreamBroken when the beginning is no text or cannot be unpacked."""
        self._limits = limits
        self._bytes = InflatedStream(stream, limits)
        head = bytearray()
        while len(head) < limits.sample_bytes and (piece := self._bytes.read()):
            head += piece
        data = bytes(head)
        if data.startswith(b"PK\x03\x04"):
            raise StreamBroken("not_text", "The file is an Excel workbook or archive; save the sheet as CSV.")
        if is_binary(data):
            raise StreamBroken("not_text", "The file is not text; upload CSV or NDJSON.")
        encoding = marked_encoding(data) or "utf-8"
        errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), True)
        self._text = self._decoder.decode(data)
        self.sample = self._text
        self.sample_is_all = len(data) < limits.sample_bytes

    def whole(self, most: int) -> str | None:
        """All the text when it has at most `most` characters, None when it has more."""
        parts, size = [self._text], len(self._text)
        while size <= most and (piece := self._bytes.read()):
            parts.append(self._decoder.decode(piece))
            size += len(parts[-1])
        parts.append(self._decoder.decode(b"", True))
        return "".join(parts) if size <= most else None

    def lines(self) -> Iterator[Line]:
        """Every line in order, numbered from 1; raises StreamBroken where the stream breaks off."""
        cap = self._limits.max_record_characters
        number = 1
        pending, self._text = self._text, ""
        skipping = ended = False
        while True:
            *complete, pending = pending.split("\n")
            for text in complete:
                yield Line(number, None if skipping or len(text) > cap else text)
                skipping = False
                number += 1
            if len(pending) > cap:
                pending, skipping = "", True
            if ended:
                break
            piece = self._bytes.read()
            ended = not piece
            # Joined in chunks: one chunk is bounded, and so is what is pending.
            pending += self._decoder.decode(piece, ended)
        if pending or skipping:
            yield Line(number, None if skipping else pending)
