"""Reading request bodies within a limit, whatever their length header, encoding or content type says."""

from __future__ import annotations

import zlib
from typing import IO

from flask import g, request
from werkzeug.exceptions import RequestEntityTooLarge

from contract.signals import MAX_BATCH_BYTES
from servicekit.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

_CHUNK = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def read_tracking_body() -> bytes:
    """The inflated body of a tracking request; read once, however often it is asked for."""
    if "tracking_body" not in g:
        g.tracking_body = read_inflated(MAX_BATCH_BYTES)
    body: bytes = g.tracking_body
    return body


def read_inflated(limit: int) -> bytes:
    """The whole body, gzip undone; never more than `limit` bytes and one chunk in memory. Else 413."""
    request.max_content_length = limit  # counts what comes over the wire, before it is inflated
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    try:
        if encoding in ("", "identity"):
            return read_capped(request.stream, limit)
        if encoding in ("gzip", "x-gzip"):
            return _inflate(request.stream, limit)
    except RequestEntityTooLarge as error:
        raise too_large(limit) from error
    raise UnsupportedMediaType(
        "Send the body plain or with Content-Encoding: gzip.", code="encoding_unsupported"
    )


def read_capped(stream: IO[bytes], limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


def too_large(limit: int) -> PayloadTooLarge:
    size = f"{limit // (1024 * 1024)} MB" if limit >= 1024 * 1024 else f"{limit // 1024} KB"
    return PayloadTooLarge(f"The body is larger than the {size} that this address takes.")


def _inflate(stream: IO[bytes], limit: int) -> bytes:
    """Inflate member after member (RFC 1952 allows several); a bomb stops at the limit."""
    parts: list[bytes] = []
    size = 0
    inflater = zlib.decompressobj(_GZIP)
    waiting = first = stream.read(_CHUNK)
    try:
        while waiting:
            if inflater.eof:
                inflater = zlib.decompressobj(_GZIP)
            part = inflater.decompress(waiting, _CHUNK)
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
            waiting = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            waiting = waiting or stream.read(_CHUNK)
        while not inflater.eof and (part := inflater.decompress(b"", _CHUNK)):
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
    except zlib.error as error:
        raise BadRequest("The body is not valid gzip.", code="gzip_malformed") from error
    if first and not inflater.eof:
        raise BadRequest("The gzip body breaks off before its end.", code="gzip_truncated")
    return b"".join(parts)
