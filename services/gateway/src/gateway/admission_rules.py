"""Which of the gateway's requests can wait, and whose they are; decided from the head of a request alone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from servicekit.admission import AdmissionRules, Work

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BULK = frozenset({"/v1/assets:import", "/v1/assets:upload", "/v1/recommendations:batch", "/v1/import"})
_ASKED_BY_POST = frozenset({"/v1/recommendations", "/v1/explain", "/v1/assets:preview"})


def work_of(environ: WSGIEnvironment) -> Work:
    path = environ.get("PATH_INFO", "")
    if path in _BULK:
        return "bulk"
    if environ.get("REQUEST_METHOD") in ("GET", "HEAD", "OPTIONS") or path in _ASKED_BY_POST:
        return "direct"
    return "deferrable"


def caller_of(environ: WSGIEnvironment) -> str | None:
    """The key as it was sent; None where it stands in a body, which is not read here, or in none."""
    given = environ.get("HTTP_AUTHORIZATION")
    if given:
        return str(given)
    query = environ.get("QUERY_STRING", "")
    return parse_qs(query).get("writeKey", [None])[0] if "writeKey=" in query else None


RULES = AdmissionRules(work_of, caller_of)
