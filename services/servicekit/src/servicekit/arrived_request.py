"""A request that has arrived whole, read just far enough to say no to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from servicekit.admission import Head

_LINE = re.compile(rb"([A-Z]{3,10}) (/[!-~]*) HTTP/1\.1\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_LENGTH = re.compile(rb"[0-9]{1,7}")


@dataclass(frozen=True, slots=True)
class ArrivedRequest:
    """Its head, and whether its client wants to send more on this connection."""

    head: Head
    request_id: str
    keep_alive: bool


def arrived(data: bytes) -> ArrivedRequest | None:
    """→ the one request that these bytes are, or None for all that is not exactly one whole request.

    Strict on purpose: what is unusual, or could be measured in two ways, is left to the server's parser.
    """
    line = _LINE.match(data)
    end = data.find(b"\r\n\r\n")
    if line is None or end < 0:
        return None
    fields: dict[bytes, bytes] = {}
    for field in data[line.end() : end].split(b"\r\n") if end >= line.end() else ():
        found = _FIELD.fullmatch(field)
        if found is None or (name := found[1].lower()) in fields:
            return None
        fields[name] = found[2].strip(b" \t")
    if b"transfer-encoding" in fields or b"expect" in fields or b"upgrade" in fields:
        return None
    length = fields.get(b"content-length", b"0")
    if _LENGTH.fullmatch(length) is None or len(data) != end + 4 + int(length):
        return None
    path, _, query = line[2].decode("ascii").partition("?")
    authorization = fields.get(b"authorization", b"").decode("latin-1")
    return ArrivedRequest(
        Head(line[1].decode("ascii"), unquote(path), query, authorization),
        fields.get(b"x-request-id", b"").decode("latin-1"),
        fields.get(b"connection", b"keep-alive").lower() == b"keep-alive",
    )
