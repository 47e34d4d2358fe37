"""Headers on every answer: browsers are told to trust nothing, and which pages may call from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, Response, request

from gateway.keys.model import KEY_PATTERN
from gateway.routing import PROBLEM

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "interest-cohort=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HIDDEN_KEY = b"fw_[hidden]"


def init_app(app: Flask, cross_origin: Mapping[str, frozenset[str]]) -> None:
    """`cross_origin` gives, per Flask rule, the methods that pages of other origins may use."""

    @app.after_request
    def secure(response: Response) -> Response:
        for name, value in _ALWAYS.items():
            response.headers.setdefault(name, value)
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
        return response

    @app.after_request
    def share(response: Response) -> Response:
        """CORS. The key is the authority and no cookie counts, so any origin may try; keys bind origins."""
        methods = cross_origin.get(request.url_rule.rule) if request.url_rule is not None else None
        response.headers.setdefault(
            "Cross-Origin-Resource-Policy", "cross-origin" if methods else "same-origin"
        )
        if not methods:
            return response
        response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        response.vary.add("Origin")
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods | {"OPTIONS"}))
            response.headers["Access-Control-Allow-Headers"] = (
                "authorization, content-type, content-encoding, x-retry-count, x-request-id, traceparent"
            )
            response.headers["Access-Control-Max-Age"] = "7200"
        else:
            response.headers["Access-Control-Expose-Headers"] = (
                "x-request-id, retry-after, ratelimit, ratelimit-policy"
            )
        return response

    @app.after_request
    def hide_keys(response: Response) -> Response:
        """A key put into a path by mistake must not come back in `instance`, nor land in a client's log."""
        if response.mimetype == PROBLEM and not response.is_streamed:
            body = response.get_data()
            if b"fw_" in body:
                response.set_data(KEY_PATTERN.sub(_HIDDEN_KEY.decode(), body.decode()).encode())
        return response
