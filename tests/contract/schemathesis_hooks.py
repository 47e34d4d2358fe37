"""How schemathesis writes the bodies that are not JSON."""

from __future__ import annotations

from typing import Any

import orjson
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def one_object_a_line(ctx: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    rows = value if isinstance(value, list) else [value]
    return b"\n".join(orjson.dumps(row, default=repr) for row in rows)
