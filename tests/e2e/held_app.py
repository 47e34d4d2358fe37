"""An application for the tests of the server: one is held until a file appears."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flask import request

from servicekit import flask_app, tracing
from servicekit.admission import AdmissionRules
from servicekit.metrics import Metrics

_RELEASE = Path(os.environ["HELD_APP_RELEASE"])

app = flask_app.create(
    "held",
    metrics=Metrics.create("held", "0"),
    max_body_bytes=1_000_000,
    tracer=tracing.start("held", "0", None, 0.0),
)
app.extensions["admission"] = AdmissionRules(
    lambda head: "bulk" if head.path == "/bulk" else "direct", lambda head: head.authorization or None
)


@app.post("/held")
def held() -> str:
    while not _RELEASE.exists():
        time.sleep(0.01)
    return "released"


@app.post("/echo")
def echo() -> bytes:
    return request.get_data()


@app.get("/livez")
def livez() -> str:
    return "alive"
