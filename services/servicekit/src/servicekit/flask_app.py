"""A Flask application with every shared concern switched on: ids, RED metrics, errors, limits."""

from __future__ import annotations

import re
import time

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from servicekit import errors, logs, request_context
from servicekit.metrics import QUIET_ROUTES, Metrics
from servicekit.tracing import Tracer
from servicekit.wire import dumps

_BY_STATUS: dict[int, type[errors.ForewordError]] = {
    400: errors.BadRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    412: errors.PreconditionFailed,
    413: errors.PayloadTooLarge,
    415: errors.UnsupportedMediaType,
    422: errors.Unprocessable,
    429: errors.TooManyRequests,
}

_PLACE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


def create(service: str, *, metrics: Metrics, max_body_bytes: int, tracer: Tracer | None = None) -> Flask:
    """A bare application of this service; routes and health checks are registered by its `create_app`."""
    app = Flask(service, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    # A redirect on a POST would make clients lose the body, so paths are matched as they are.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.extensions["metrics"] = metrics
    app.extensions["tracer"] = tracer
    _init_request_context(app, tracer)
    _init_red_metrics(app, metrics)
    _init_query(app)
    _init_errors(app, service)
    return app


def problem_response(error: errors.ForewordError) -> Response:
    """The one place where an error becomes an HTTP answer."""
    context = request_context.current()
    document = errors.problem_document(
        error, instance=shown_path(), request_id=context.request_id if context else ""
    )
    return Response(
        dumps(document), status=error.status, mimetype="application/problem+json", headers=error.headers
    )


def crash_response(service: str, error: Exception) -> Response:
    """What nobody foresaw: all of it in the log, and none of it in the answer."""
    logs.get(service).error("request_crashed", exc_info=error, path=str(request.url_rule))
    return problem_response(
        errors.Internal("Something went wrong here. The request id finds it in the logs.")
    )


def shown_path() -> str:
    """The address as an error may show it: clients log errors, and an id in a path may be a mail address.

    Names stand for the ids (`/v1/buyers/{buyer_id}`); of an address that is none the first part is shown.
    """
    if request.url_rule is not None:
        return _PLACE.sub(r"{\1}", request.url_rule.rule) if request.view_args else request.path
    first = request.path[1:].partition("/")[0]
    ours = any(rule.rule[1:].partition("/")[0] == first for rule in current_app.url_map.iter_rules())
    return f"/{first}/…" if first and ours else "/…"


def _init_request_context(app: Flask, tracer: Tracer | None) -> None:
    @app.before_request
    def enter() -> None:
        parent = request.headers.get("traceparent")
        context = request_context.from_headers(request.headers.get("X-Request-ID"), parent)
        if tracer is not None:
            context = tracer.begin(context, request.method, parent)
        request_context.enter(context)

    @app.after_request
    def echo(response: Response) -> Response:
        context = request_context.current()
        if context is not None:
            response.headers["X-Request-ID"] = context.request_id
            response.headers["traceparent"] = context.traceparent
            if tracer is not None:
                tracer.end(context, _route(), response.status_code)
        return response

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        request_context.enter(None)


def _route() -> str:
    """The template, never the path: that may hold somebody's id."""
    return request.url_rule.rule if request.url_rule is not None else "unmatched"


def _init_red_metrics(app: Flask, metrics: Metrics) -> None:
    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()
        metrics.in_flight.inc()
        g.counted = True

    @app.after_request
    def observe(response: Response) -> Response:
        route = _route()
        if route not in QUIET_ROUTES:
            context = request_context.current()
            metrics.answered(
                route,
                request.method,
                response.status_code,
                time.perf_counter() - g.started,
                context.trace_id if context is not None else None,
            )
        return response

    @app.teardown_request
    def done(_: BaseException | None) -> None:
        if g.pop("counted", False):
            metrics.in_flight.dec()


def _init_query(app: Flask) -> None:
    @app.before_request
    def readable() -> None:
        """Whatever reads the query decodes it, and bytes that are no UTF-8 would fail there."""
        try:
            request.query_string.decode()
        except UnicodeDecodeError as error:
            raise errors.BadRequest("The query is not UTF-8.", code="query_malformed") from error


def _init_errors(app: Flask, service: str) -> None:
    log = logs.get(service)

    @app.errorhandler(errors.ForewordError)
    def known(error: errors.ForewordError) -> Response:
        if error.status >= 500:
            log.warning("request_failed", code=error.code, detail=error.detail, path=str(request.url_rule))
        return problem_response(error)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        kind = _BY_STATUS.get(status, errors.BadRequest if 400 <= status < 500 else errors.Internal)
        detail = error.description or "The request could not be served."
        if isinstance(error, RequestEntityTooLarge):
            limit = app.config["MAX_CONTENT_LENGTH"]
            detail = f"The body is larger than the {limit // (1024 * 1024)} MB that this address takes."
        elif error.code == 404:
            detail = "There is nothing at this address; /docs on the gateway lists what there is."
        problem = kind(detail)
        valid = getattr(error, "valid_methods", None)
        if valid:
            problem.headers["Allow"] = ", ".join(sorted(valid))
        return problem_response(problem)

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        return crash_response(service, error)
