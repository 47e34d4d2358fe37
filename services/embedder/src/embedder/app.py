"""The composition root: settings in, a Flask application out, with the model loading beside it."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask

from embedder import api
from embedder.encoder import Encoder
from embedder.loading import hashing_encoder, load
from embedder.meters import Meters
from embedder.service import EmbedderService
from embedder.settings import EmbedderSettings
from servicekit import flask_app, health, logs, tracing
from servicekit.background import BackgroundLoop
from servicekit.metrics import Metrics

_RETRY_SECONDS = 10.0


def create_app(
    settings: EmbedderSettings,
    *,
    encoder: Encoder | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Flask:
    """Build the service. A given or hashing encoder serves at once; any other model is loaded in a thread.

    While it loads (and when it cannot be, which is tried again) `/livez` answers and `/readyz` says why not.
    """
    logs.configure("embedder", settings.log_level)
    metrics = Metrics.create("embedder", settings.version)
    meters = Meters(metrics)
    app = flask_app.create(
        "embedder",
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        tracer=tracing.start(
            "embedder", settings.version, settings.otlp_endpoint, settings.trace_sample_ratio
        ),
    )
    at_hand = encoder or hashing_encoder(settings.embedder_model)
    service = EmbedderService(settings, meters, lambda: at_hand or load(settings), clock=clock)
    loader = BackgroundLoop(
        "load_model",
        service.load_once,
        interval_seconds=_RETRY_SECONDS,
        failures=meters.loop_failures,
        service="embedder",
    )
    if at_hand is not None:
        service.load_once()
    else:
        loader.start()

    def close() -> None:
        loader.stop()
        service.close()

    health.init_app(app, {"model": lambda: health.PartStatus(service.ready, service.problem)})
    app.register_blueprint(api.blueprint(service, settings))
    app.extensions["close"] = close
    return app
