"""`/livez` (the process alone) and `/readyz` (each part that this service needs in order to serve)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask import Flask, Response

from servicekit.wire import json_response


@dataclass(frozen=True, slots=True)
class PartStatus:
    """Whether a part can serve; `required` parts make the service unready, others are only reported."""

    ready: bool
    detail: str = ""
    required: bool = True


Check = Callable[[], PartStatus]


def init_app(app: Flask, checks: Mapping[str, Check]) -> None:
    @app.get("/livez")
    def livez() -> Response:
        return json_response({"status": "alive"})

    @app.get("/readyz")
    def readyz() -> Response:
        parts = {name: check() for name, check in checks.items()}
        ready = all(part.ready for part in parts.values() if part.required)
        document = {
            "status": "ready" if ready else "unready",
            "parts": {
                name: {"ready": p.ready, "required": p.required, "detail": p.detail}
                for name, p in parts.items()
            },
        }
        return json_response(document, 200 if ready else 503, {} if ready else {"Retry-After": "1"})
