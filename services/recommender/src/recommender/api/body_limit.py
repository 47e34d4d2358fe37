"""How large a request may be."""

from __future__ import annotations

from flask import Flask, request

STREAMED_BYTES = 64 * 1024**3
"""What an import may have, which is streamed; other bodies are read whole, so they are bounded."""


def init_app(app: Flask, max_body_bytes: int) -> None:
    @app.before_request
    def limit() -> None:
        if request.path != "/v1/assets:import":
            request.max_content_length = max_body_bytes
