"""The web component that websites embed, and a page that shows it in several themes."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

import rjsmin
from flask import Response, render_template, request

from gateway.parts import Parts
from gateway.routing import Content, Open, Parameter, Route
from servicekit.wire import dumps

_SHARED = {
    # Any website may load it; it holds nothing but code.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "public, max-age=3600",
}
_SAMPLE: tuple[tuple[str, str, str, str], ...] = (
    ("guide", "Choosing a supplier in eight weeks", "Who decides, what they ask, and when.", "fresh"),
    ("case_study", "How a carrier halved its empty miles", "Forty depots, one plan, nine months.", "popular"),
    ("webinar", "What the new reporting rules change", "Forty minutes with two auditors.", "context"),
    ("calculator", "What does waiting cost you?", "Five figures in, one honest figure out.", "quality"),
)
_REASONS = {
    "fresh": "Published recently",
    "popular": "Popular with readers",
    "context": "Related to this page",
    "quality": "Often chosen by readers",
}


class WidgetViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        source = resources.files("gateway").joinpath("static/widget.js").read_text()
        self._script = rjsmin.jsmin(source, keep_bang_comments=True).encode()
        self._etag = hashlib.sha256(self._script).hexdigest()[:20]
        self._style = resources.files("gateway").joinpath("static/preview.css").read_text()
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        # As strict as a bank's: whatever the component needs on a website, it must also find here.
        self._policy = (
            f"default-src 'none'; script-src 'self'; style-src 'sha256-{digest}'; connect-src 'self'; "
            "img-src 'self' https: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def script(self) -> Response:
        response = Response(self._script, mimetype="text/javascript", headers=_SHARED)
        response.set_etag(self._etag)
        response.make_conditional(request)
        return response

    def preview(self) -> Response:
        html = render_template(
            "widget_preview.html",
            style=self._style,
            sample=dumps(_sample()).decode(),
            empty=dumps({"items": []}).decode(),
            key=request.args.get("key", "")[:200],
            placement=request.args.get("placement", "preview")[:200],
        )
        return Response(
            html,
            mimetype="text/html",
            headers={"Content-Security-Policy": self._policy, "Cache-Control": "no-cache"},
        )


def _sample() -> dict[str, Any]:
    """An answer as a publishable key sees it, so that the page needs neither a key nor a catalogue."""
    items = [
        {
            "id": f"sample-{rank}",
            "title": title,
            "url": "https://www.example.com/",
            "type": kind,
            "summary": summary,
            "image_url": None,
            "rank": rank,
            "reasons": [{"code": reason, "text": _REASONS[reason]}],
        }
        for rank, (kind, title, summary, reason) in enumerate(_SAMPLE, start=1)
    ]
    return {"recommendation_id": "sample", "items": items}


def routes(parts: Parts) -> tuple[Route, ...]:
    views = WidgetViews(parts)
    return (
        Route(
            method="GET",
            path="/widget.js",
            name="widget_script",
            summary="The web component for websites",
            tag="Delivery",
            access=Open("it is code that every visitor's browser loads"),
            view=views.script,
            description='`<foreword-recommendations key="fw_pk_…" placement="blog-sidebar">` shows what fits '
            "and counts an impression when half of an asset was visible for a second. It shows nothing when "
            "nothing fits.",
            gives={200: (Content("text/javascript"),), 304: ()},
        ),
        Route(
            method="GET",
            path="/widget/preview",
            name="widget_preview",
            summary="The web component in several themes",
            tag="Delivery",
            access=Open("it shows sample content, or what a publishable key may see"),
            view=views.preview,
            parameters=(
                Parameter("key", "A publishable key, to show its own recommendations instead of a sample."),
                Parameter("placement", "The placement to ask for."),
            ),
            gives={200: (Content("text/html"),)},
        ),
    )
