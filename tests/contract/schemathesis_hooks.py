"""What a schema cannot say, said here: how rows are written, and what makes sense beside being readable."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote, urlencode

import schemathesis

# As the contract has it: ids are printable, which no schema's pattern can tell for all of Unicode.
_IDS = frozenset(
    {"id", "user_id", "anonymous_id", "account_id", "asset_id", "endpoint_id", "placement_id", "buyer_id"}
    | {"delivery_id", "send_id", "slot", "placement", "equivalent_to", "pin", "static", "exclude_ids"}
    | {"asset_ids", "exclude"}
)
_FOLDED = {".": "one", "..": "two"}


@schemathesis.serializer("application/x-ndjson")
def one_object_a_line(ctx: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    rows = value if isinstance(value, list) else [value]
    # orjson would refuse integers beyond 64 bits, and clients do not.
    return "\n".join(json.dumps(row, default=repr) for row in rows).encode()


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    """The HTTP server itself refuses a line of more than 8,190 bytes, in words of its own."""
    query = urlencode(case.query or {}, doseq=True, errors="replace")
    return len(query) + 6 * len(case.formatted_path) < 7_500


@schemathesis.hook
def map_case(_: Any, case: Any) -> Any:
    """A case that must be accepted is made to make sense; one that must be refused is left as it is."""
    meta = case.meta
    if meta is None or meta.generation.mode.is_negative:
        return case
    case.path_parameters = {name: _in_path(value) for name, value in (case.path_parameters or {}).items()}
    if "asset_id" in case.path_parameters and isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name != "id"}
    query = _sensible(dict(case.query or {}))
    query.pop("page_token", None)  # it is what an answer gave
    if case.operation.path == "/v1/email/block" and not query.keys() & {"user_id", "anonymous_id"}:
        query["user_id"] = "u"  # one of the two, which parameters cannot say
    case.query = query
    if isinstance(case.body, dict):
        case.body = _sensible(case.body)
    return case


def _sensible(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        kept = {key: _sensible(inner, key) for key, inner in value.items()}
        # Of two moments the later one must be the later one.
        for first, last in (("publish_at", "expires_at"), ("from", "to")):
            if kept.get(first) is not None and kept.get(last) is not None:
                kept[last] = "9999-12-31T23:59:59Z"
                kept[first] = "2026-01-01T00:00:00Z"
        return kept
    if isinstance(value, list):
        return [_sensible(inner, name) for inner in value]
    if isinstance(value, str) and name in _IDS:
        return _printable(value)
    if isinstance(value, str) and name == "url":
        return "https://www.example.com/page"  # a pattern cannot say which addresses can be parsed
    return value


def _in_path(value: Any) -> Any:
    """Values in paths are generated as they will be sent: percent-encoded."""
    if not isinstance(value, str):
        return value
    meant = unquote(value)
    mended = _printable(meant)
    return value if mended == meant else quote(mended, safe="")


def _printable(value: str) -> str:
    printable = "".join(letter if letter.isprintable() else "x" for letter in value)
    return _FOLDED.get(printable, printable)
