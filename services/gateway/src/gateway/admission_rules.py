"""Which of the gateway's requests can wait, and whose they are; decided from the head of a request alone."""

from __future__ import annotations

from urllib.parse import parse_qs

from gateway.keys import KeyRing, sent
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


def rules(keys: KeyRing) -> AdmissionRules:
    """Those of a gateway with these keys."""
    return AdmissionRules(work_of, lambda head: _caller(keys, head))


def _caller(keys: KeyRing, head: Head) -> str | None:
    """The key's id; None where the key stands in a body, which is not read here, or in none.

    All whose keys are unknown are one: whoever makes keys up would make every true one's share small.
    """
    text = sent.in_authorization(head.authorization)
    if not text and "writeKey=" in head.query:
        text = parse_qs(head.query).get("writeKey", [None])[0]
    if not text or not keys.is_loaded:
        return None
    key = keys.find(text)
    return "unknown" if key is None or key.revoked_at is not None else key.key_id
