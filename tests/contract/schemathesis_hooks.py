"""How schemathesis writes the bodies that are not JSON, and which requests never come to our code."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def one_object_a_line(ctx: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    rows = value if isinstance(value, list) else [value]
    return b"\n".join(orjson.dumps(row, default=repr) for row in rows)


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    """The HTTP server itself refuses a line of more than 8,190 bytes, in words of its own."""
    query = urlencode(case.query or {}, doseq=True, errors="replace")
    return len(query) + 6 * len(case.formatted_path) < 7_500
