"""Which of the recommender's requests can wait: decided from the head of a request alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servicekit.admission import AdmissionRules, Work

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BULK = frozenset({"/v1/assets:import", "/v1/assets:upload"})
_ASKED_BY_POST = frozenset({"/v1/recommendations", "/v1/explain", "/v1/assets:preview"})


def work_of(environ: WSGIEnvironment) -> Work:
    path = environ.get("PATH_INFO", "")
    if path in _BULK or (path == "/v1/signals" and "kind=import" in environ.get("QUERY_STRING", "")):
        return "bulk"
    if environ.get("REQUEST_METHOD") in ("GET", "HEAD") or path in _ASKED_BY_POST:
        return "direct"
    return "deferrable"


RULES = AdmissionRules(work_of)
