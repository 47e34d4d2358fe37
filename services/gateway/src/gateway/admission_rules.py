"""Which of the gateway's requests can wait, and whose they are; decided from the head of a request alone."""

from __future__ import annotations

from urllib.parse import parse_qs

from servicekit.admission import AdmissionRules, Head, Work

_BULK = frozenset({"/v1/assets:import", "/v1/assets:upload", "/v1/recommendations:batch", "/v1/import"})
_ASKED_BY_POST = frozenset({"/v1/recommendations", "/v1/explain", "/v1/assets:preview"})


def work_of(head: Head) -> Work:
    path = head.path
    if path in _BULK:
        return "bulk"
    if head.method in ("GET", "HEAD", "OPTIONS") or path in _ASKED_BY_POST:
        return "direct"
    return "deferrable"


def caller_of(head: Head) -> str | None:
    """The key as it was sent; None where it stands in a body, which is not read here, or in none."""
    if head.authorization:
        return head.authorization
    return parse_qs(head.query).get("writeKey", [None])[0] if "writeKey=" in head.query else None


RULES = AdmissionRules(work_of, caller_of)
