"""Errors as people see them in the studio: a page in words, or a line for a part of a page."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Flask, Response, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from gateway.studio.desk import is_fragment
from servicekit import logs, request_context
from servicekit.errors import ForewordError

_TITLES = {
    400: "That could not be read",
    403: "Not with your role",
    404: "Nothing here",
    405: "Nothing here",
    409: "That does not go together",
    412: "Somebody was quicker",
    413: "That is too large",
    422: "Something is not right yet",
    429: "One moment",
    503: "A part of Foreword is away",
}


def init_app(app: Flask) -> None:
    log = logs.get("gateway")

    @app.errorhandler(ForewordError)
    def known(error: ForewordError) -> Response:
        return _answer(error.status, error.detail, error.headers.get("Retry-After"))

    @app.errorhandler(CSRFError)
    def forged(_: CSRFError) -> Response:
        return _answer(400, "This page was too old, so nothing was changed. Load it again and repeat.")

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        if isinstance(error, RequestEntityTooLarge):
            limit = app.config["MAX_CONTENT_LENGTH"] // (1024 * 1024)
            return _answer(413, f"A file may have up to {limit} MB.")
        status = error.code or 500
        if status in (404, 405):
            return _answer(404, "There is no such page in the studio.")
        return _answer(status, error.description or "The request could not be served.")

    def database(error: sa.exc.SQLAlchemyError) -> Response:
        log.warning("studio_database_away", error=type(error).__name__)
        return _answer(
            503, "The studio's database does not answer. Nothing was changed; try again shortly.", "3"
        )

    for kind in (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError):
        app.register_error_handler(kind, database)

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        log.error("request_crashed", exc_info=error, path=str(request.url_rule))
        return _answer(500, "Something went wrong here. The request id below finds it in the logs.")


def _answer(status: int, detail: str, retry_after: str | None = None) -> Response:
    if is_fragment() or request.headers.get("X-Requested-With"):
        response = Response(detail, status=status, mimetype="text/plain")
    else:
        context = request_context.current()
        page = render_template(
            "problem.html",
            title=_TITLES.get(status, "Something went wrong"),
            detail=detail,
            status=status,
            request_id=context.request_id if context else "",
        )
        response = make_response(page, status)
    if retry_after:
        response.headers["Retry-After"] = retry_after
    return response
