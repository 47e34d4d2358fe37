"""The composition root: everything the gateway consists of is built and joined here."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Mapping

from flask import Flask, request

from gateway import admission_rules, draining, edge_headers, limits, openapi, routing
from gateway.access import AccessControl
from gateway.api import (
    assets,
    batch,
    buyers,
    clicks,
    delivery,
    insight,
    intake,
    pages,
    placements,
    recommendations,
    signal_validation,
    signals,
)
from gateway.click_queue import ClickQueue
from gateway.fallback import Fallback, read_static_list
from gateway.fallback_sharing import SharedFallback
from gateway.keys import DatabaseKeySource, KeptKeys, KeyRing, KeySource
from gateway.limits import RateLimiter
from gateway.metrics import GatewayMetrics
from gateway.parts import Parts
from gateway.recommending import AnswerMaker
from gateway.replacements import Replacements
from gateway.routing import Route
from gateway.settings import GatewaySettings
from gateway.signal_relay import SignalRelay
from gateway.store.migrate import require_known_schema
from gateway.studio import application as studio
from gateway.studio.api_changes import ApiChanges, utc_now
from gateway.studio.audit import AuditLog
from gateway.upstream import Recommender
from servicekit import encoded_paths, flask_app, health, tracing
from servicekit.database import create_engine, observe_pool
from servicekit.errors import BadRequest, Unavailable
from servicekit.health import PartStatus
from servicekit.http import ServiceClient
from servicekit.metrics import Metrics


def create_app(
    settings: GatewaySettings,
    *,
    key_source: KeySource | None = None,
    limiter: RateLimiter | None = None,
    start: bool = True,
) -> Flask:
    """Build the gateway. `start=False` starts no background loop and asks nobody for anything.

    Raises `SettingsInvalid` and `SchemaUnknown`; a database or a recommender that is away is no reason not to
    start: keys are loaded when it comes back.
    """
    shared_metrics = Metrics.create("gateway", settings.version)
    app = flask_app.create(
        "gateway",
        metrics=shared_metrics,
        max_body_bytes=settings.max_body_bytes,
        tracer=tracing.start(
            "gateway", settings.version, settings.otlp_endpoint, settings.trace_sample_ratio
        ),
    )
    encoded_paths.init_app(app)
    app.template_folder = "templates"
    metrics = GatewayMetrics.create(shared_metrics)
    parts = _parts(settings, metrics, key_source or _database_keys(settings, metrics, start))
    access = AccessControl(parts.keys, limiter or _limiter(settings, parts.metrics), parts.metrics)
    routes = _routes(app, parts)
    _init_paths(app)
    limits.init_app(app)
    draining.init_app(app)
    edge_headers.init_app(app, _cross_origin(routes))
    health.init_app(app, _checks(parts))
    studio_engine = studio.engine(settings)
    changes = ApiChanges(AuditLog(studio_engine), metrics.loop_failures, utc_now)
    routing.register(app, routes, changes.noting(access.guard))
    app.extensions["routes"] = routes
    app.extensions["admission"] = admission_rules.rules(parts.keys)
    app.extensions["openapi"] = functools.cache(
        lambda: openapi.document(routes, version=settings.version)  # takes a while, and seldom needed
    )
    app.extensions["parts"] = parts
    studio.mount(app, parts, shared_metrics, engine=studio_engine)
    app.extensions["api_changes"] = changes
    if start:
        parts.keys.refresh()
        parts.keys.start()
        parts.clicks.start()
        changes.start()
        shared = _share_fallback(settings, parts)
        app.extensions["close"] = lambda: _close(parts, shared, changes)
    return app


def _limiter(settings: GatewaySettings, metrics: GatewayMetrics) -> RateLimiter:
    url = settings.rate_limit_storage_url
    storage = None if url is None else limits.shared_storage(url.get_secret_value())
    return RateLimiter(settings.rate_limit, metrics, storage, placements=settings.placement_limits)


def _database_keys(settings: GatewaySettings, metrics: GatewayMetrics, start: bool) -> DatabaseKeySource:
    engine = create_engine(
        settings.database_url.get_secret_value(), pool_size=1, application_name="foreword-gateway"
    )
    observe_pool(engine, metrics.database_connections, metrics.database_connections_limit)
    if start:
        # A database that is away is the key ring's matter: it says so, and keeps trying.
        with contextlib.suppress(Unavailable):
            require_known_schema(engine)
    return DatabaseKeySource(engine, project_secret=_given_secret(settings))


def _kept_keys(settings: GatewaySettings) -> KeptKeys | None:
    if settings.kept_keys_file is None:
        return None
    return KeptKeys(settings.kept_keys_file, clock=utc_now, given_secret=_given_secret(settings))


def _given_secret(settings: GatewaySettings) -> bytes | None:
    given = settings.project_secret
    return None if given is None else given.get_secret_value().encode()


def _parts(settings: GatewaySettings, metrics: GatewayMetrics, keys: KeySource) -> Parts:
    client = ServiceClient(
        "recommender", settings.recommender_url, timeout_seconds=settings.read_timeout_seconds
    )
    recommender = Recommender(client, settings.recommender_url, metrics)
    metrics.upstream_up.labels("recommender").set_function(lambda: 0.0 if recommender.is_away else 1.0)
    relay = SignalRelay(recommender, metrics)
    return Parts(
        settings=settings,
        metrics=metrics,
        keys=KeyRing(
            keys,
            metrics=metrics,
            refresh_seconds=settings.key_refresh_seconds,
            kept=_kept_keys(settings),
        ),
        recommender=recommender,
        signals=relay,
        clicks=ClickQueue(
            relay,
            size=settings.click_queue_size,
            timeout_seconds=settings.click_timeout_seconds,
            metrics=metrics,
        ),
        replacements=Replacements(recommender, timeout_seconds=settings.click_timeout_seconds),
        fallback=Fallback(
            read_static_list(settings.static_fallback_file),
            max_age_seconds=settings.fallback_max_age_seconds,
            clock=time.monotonic,
            metrics=metrics,
        ),
    )


def _routes(app: Flask, parts: Parts) -> tuple[Route, ...]:
    answers = AnswerMaker(parts)
    return (
        *recommendations.routes(parts, answers),
        *batch.routes(parts, answers),
        *signals.routes(parts),
        *signal_validation.routes(parts),
        *intake.routes(parts),
        *assets.routes(parts),
        *insight.routes(parts),
        *placements.routes(parts),
        *buyers.routes(parts),
        *clicks.routes(parts, answers),
        *delivery.routes(parts, answers),
        *pages.routes(parts, lambda: app.extensions["openapi"]()),
    )


def _init_paths(app: Flask) -> None:
    @app.before_request
    def refuse_broken_text() -> None:
        """A path or query that is not UTF-8 would be mended silently, and name another id."""
        try:
            request.environ.get("PATH_INFO", "").encode("latin-1").decode()
        except UnicodeDecodeError as error:
            raise BadRequest("The path is not valid UTF-8.", code="path_malformed") from error


def _cross_origin(routes: tuple[Route, ...]) -> Mapping[str, frozenset[str]]:
    shared = {route.path for route in routes if route.cross_origin}
    return {path: frozenset(r.method for r in routes if r.path == path) for path in shared}


def _checks(parts: Parts) -> Mapping[str, health.Check]:
    def keys() -> PartStatus:
        if not parts.keys.is_loaded:
            return PartStatus(False, "The keys have not been read yet.")
        return PartStatus(True, "The last known keys; the database is away." if parts.keys.is_stale else "")

    def recommender() -> PartStatus:
        away = parts.recommender.is_away
        return PartStatus(not away, "Away; fallbacks are served." if away else "", required=False)

    return {"keys": keys, "recommender": recommender}


def _share_fallback(settings: GatewaySettings, parts: Parts) -> SharedFallback:
    engine = create_engine(
        settings.database_url.get_secret_value(), pool_size=1, application_name="foreword-gateway-fallback"
    )
    shared = SharedFallback(
        engine,
        parts.fallback,
        max_age_seconds=settings.fallback_max_age_seconds,
        failures=parts.metrics.loop_failures,
    )
    parts.fallback.sharing = shared
    shared.start()
    return shared


def _close(parts: Parts, shared: SharedFallback, changes: ApiChanges) -> None:
    shared.stop()
    changes.stop()
    parts.clicks.stop()
    parts.keys.stop()
