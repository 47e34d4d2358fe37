"""Which of the recommender's requests can wait: decided from the head of a request alone."""

from __future__ import annotations

from servicekit.admission import AdmissionRules, Head, Work

_BULK = frozenset({"/v1/assets:import", "/v1/assets:upload"})
_ASKED_BY_POST = frozenset({"/v1/recommendations", "/v1/explain", "/v1/assets:preview"})


def work_of(head: Head) -> Work:
    path = head.path
    if path in _BULK or (path == "/v1/signals" and "kind=import" in head.query):
        return "bulk"
    if head.method in ("GET", "HEAD") or path in _ASKED_BY_POST:
        return "direct"
    return "deferrable"


RULES = AdmissionRules(work_of)
