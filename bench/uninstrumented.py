"""A service in which nothing is counted, for comparison: `bench.uninstrumented:make("gateway")`."""

from __future__ import annotations

import importlib
from typing import Any

from flask import Flask
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from servicekit import flask_app

_COUNTING: tuple[tuple[type, str], ...] = (
    (Counter, "inc"),
    (Counter, "reset"),
    (Gauge, "inc"),
    (Gauge, "dec"),
    (Gauge, "set"),
    (Gauge, "set_function"),
    (Histogram, "observe"),
)


def _nothing(*_: Any, **__: Any) -> None:
    """In the place of counting."""


def make(service: str) -> Flask:
    """The service's application with neither counters nor the hooks that time its requests."""
    for owner, name in _COUNTING:
        setattr(owner, name, _nothing)
    MetricWrapperBase.labels = lambda self, *_, **__: self  # type: ignore[method-assign]
    flask_app._init_red_metrics = _nothing
    app: Flask = importlib.import_module(f"{service}.wsgi").app
    return app
