"""Builds the studio: an application of its own, mounted at `/studio` of the gateway.

Being apart, its cookies, its CSRF check and its error pages cannot touch the API, nor the API's keys it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import sqlalchemy as sa
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from gateway import draining, edge_headers
from gateway.parts import Parts
from gateway.settings import GatewaySettings
from gateway.studio import display, guard, problems, static_files
from gateway.studio.audit import AuditLog
from gateway.studio.catalogue import Catalogue
from gateway.studio.desk import Desk
from gateway.studio.figures import OwnFigures, PrometheusFigures
from gateway.studio.keybook import KeyBook
from gateway.studio.pages import (
    accounts,
    asset,
    audit_pages,
    bulk,
    buyers,
    coverage,
    goals,
    keys,
    library,
    people,
    placements,
    sign_in,
    single_sign_on,
    upload,
    webhooks,
)
from gateway.studio.people import People
from gateway.studio.sessions import COOKIE, PATH, Sessions, StudioCookies
from gateway.studio.throttle import SignInThrottle
from gateway.studio.web_sources import WebSources
from servicekit import flask_app
from servicekit.database import create_engine
from servicekit.metrics import Metrics

_PAGES = (
    sign_in,
    single_sign_on,
    library,
    bulk,
    asset,
    upload,
    coverage,
    accounts,
    buyers,
    placements,
    goals,
    people,
    keys,
    webhooks,
    audit_pages,
)


def engine(settings: GatewaySettings) -> sa.Engine:
    """The studio's own connections; none is opened before one is needed."""
    return create_engine(
        settings.database_url.get_secret_value(), pool_size=4, application_name="foreword-studio"
    )


def mount(
    app: Flask,
    parts: Parts,
    metrics: Metrics,
    *,
    engine: sa.Engine,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """Serve the studio under `/studio` of the gateway's `app`. → the studio's own application."""
    studio = _create(_desk(parts, engine, clock, metrics), metrics)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {PATH: studio})  # type: ignore[method-assign]
    app.extensions["studio"] = studio
    return studio


def _desk(parts: Parts, engine: sa.Engine, clock: Callable[[], datetime], metrics: Metrics) -> Desk:
    return Desk(
        parts=parts,
        people=People(engine),
        sessions=Sessions(engine),
        audit=AuditLog(engine),
        catalogue=Catalogue(parts),
        keys=KeyBook(engine, parts.keys),
        throttle=SignInThrottle(),
        figures=(
            OwnFigures(metrics.registry, parts.settings.recommender_metrics_url)
            if parts.settings.prometheus_url is None
            else PrometheusFigures(parts.settings.prometheus_url)
        ),
        web=WebSources(),
        clock=clock,
    )


def _create(desk: Desk, metrics: Metrics) -> Flask:
    settings = desk.parts.settings
    app = flask_app.create("gateway.studio", metrics=metrics, max_body_bytes=settings.max_body_bytes)
    app.template_folder = "templates"
    app.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_PATH=PATH,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: people leave pages open all day
        MAX_FORM_MEMORY_SIZE=4 * 1024 * 1024,  # an asset's whole text may be corrected in a form
    )
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.session_interface = StudioCookies(
        desk.parts.keys, https=(settings.public_url or "").startswith("https://")
    )
    draining.init_app(app)
    edge_headers.init_app(app, {})
    static_files.init_app(app)
    problems.init_app(app)
    guard.init_app(app, desk)
    display.init_app(app)
    for page in _PAGES:
        app.register_blueprint(page.blueprint(desk))
    app.extensions["desk"] = desk
    return app
