"""The pages a person reads: the contract, and the way in."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from importlib import resources
from typing import Any

from flask import Response, render_template, request
from markupsafe import Markup, escape

from gateway.parts import Parts
from gateway.routing import Content, Open, Route
from servicekit.wire import dumps, json_response

_CODE = re.compile(r"`([^`]+)`")
_HTML = (Content("text/html"),)


class PageViews:
    """`document` gives the OpenAPI document, which is made after all routes are known."""

    def __init__(self, parts: Parts, document: Callable[[], dict[str, Any]]) -> None:
        self._parts = parts
        self._document = document
        self._style = resources.files("gateway").joinpath("templates/style.css").read_text()
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def openapi(self) -> Response:
        return json_response(dumps(self._document()), headers={"Cache-Control": "public, max-age=300"})

    def docs(self) -> Response:
        return self._page("docs.html", document=self._document())

    def landing(self) -> Response:
        return self._page("landing.html", version=self._parts.settings.version)

    def _page(self, template: str, **values: Any) -> Response:
        base_url = (self._parts.settings.public_url or request.host_url).rstrip("/")
        html = render_template(template, style=self._style, base_url=base_url, prose=_prose, **values)
        return Response(
            html,
            mimetype="text/html",
            headers={"Content-Security-Policy": self._policy, "Cache-Control": "no-cache"},
        )


def _prose(text: str) -> Markup:
    """A sentence of the contract as HTML: all of it escaped, `words` in code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just now


def routes(parts: Parts, document: Callable[[], dict[str, Any]]) -> tuple[Route, ...]:
    views = PageViews(parts, document)
    reading = Open("the contract is public")
    probes = Open("probes carry no key, and the answer names no data")
    state = (Content(schema={"type": "object", "required": ["status"]}),)
    # fmt: off
    return (
        Route("GET", "/", "landing", "The way in", "Service", reading, views.landing, gives={200: _HTML}),
        Route("GET", "/docs", "docs", "This contract, to read", "Service", reading, views.docs,
              gives={200: _HTML}),
        Route("GET", "/openapi.json", "openapi", "This contract, as OpenAPI 3.1", "Service", reading,
              views.openapi, gives={200: (Content(schema={"type": "object"}),)}),
        Route("GET", "/livez", "livez", "Whether the process lives", "Service", probes, None,
              gives={200: state}),
        Route("GET", "/readyz", "readyz", "Whether it can serve", "Service", probes, None,
              gives={200: state, 503: state}),
    )
    # fmt: on
