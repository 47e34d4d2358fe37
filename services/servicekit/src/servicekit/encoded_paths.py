"""Ids in paths: an encoded `/` or `:` belongs to the id, a plain one to the address.

WSGI hands a path over decoded: `/v1/assets/a%2Finsight` (the asset `a/insight`) and `/v1/assets/a/insight`
(the insight of `a`) look alike. Behind a proxy that decodes paths they are alike, and the second is meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Flask, request
from werkzeug.routing import BaseConverter

# Characters that Unicode will never give a meaning to, so that no id holds them.
_STANDS_FOR = {"\ufdd0": "/", "\ufdd1": ":"}
_ENCODED = re.compile(r"%2f|%3a", re.IGNORECASE)
_MARKS = {"%2f": "%EF%B7%90", "%3a": "%EF%B7%91"}
_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class AnyIdConverter(BaseConverter):
    """Any text, also with slashes and at its beginning and end; whether it is an id is judged elsewhere."""

    regex = "(?s:.+?)"
    part_isolating = False

    def to_python(self, value: str) -> str:
        return _plain(super().to_python(value))


def init_app(app: Flask, name: str = "any_id") -> None:
    """Call it before any other `before_request`, so that all see the path as it was meant."""
    app.url_map.converters[name] = AnyIdConverter
    app.wsgi_app = _marked(app.wsgi_app)  # type: ignore[method-assign, assignment]

    @app.before_request
    def unmark() -> None:
        request.path = _plain(request.path)


def _marked(inner: _Wsgi) -> _Wsgi:
    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = (environ.get("RAW_URI") or environ.get("REQUEST_URI") or "").partition("?")[0]
        if _ENCODED.search(raw) and _decoded(raw) == environ.get("PATH_INFO"):
            environ["PATH_INFO"] = _decoded(_ENCODED.sub(lambda found: _MARKS[found[0].lower()], raw))
        return inner(environ, start_response)

    return call


def _decoded(raw: str) -> str:
    """As WSGI has it: the bytes of the path, each as one character."""
    return unquote_to_bytes(raw.encode("latin-1")).decode("latin-1")


def _plain(text: str) -> str:
    for mark, meant in _STANDS_FOR.items():
        text = text.replace(mark, meant)
    return text
