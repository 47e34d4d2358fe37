"""How the domain's errors look over HTTP: the one place that knows both."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Flask, Response
from psycopg.errors import QueryCanceled

from recommender.domain import errors as domain
from servicekit import errors, logs
from servicekit.crash_text import kinds
from servicekit.flask_app import crash_response, problem_response

# What SQLAlchemy raises when the database does not answer, drops the connection or the transaction, or is in
# trouble itself.
DATABASE_AWAY = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.TimeoutError,
    sa.exc.PendingRollbackError,
)


def database_away() -> errors.Unavailable:
    return errors.Unavailable(
        "The database does not answer; nothing was stored. Try again.", code="database_away"
    )


def init_app(app: Flask) -> None:
    log = logs.get("recommender")

    @app.errorhandler(domain.AssetNotFound)
    def asset(_: domain.AssetNotFound) -> Response:
        return problem_response(errors.NotFound("There is no asset with this id.", code="asset_not_found"))

    @app.errorhandler(domain.BuyerNotFound)
    def buyer(_: domain.BuyerNotFound) -> Response:
        return problem_response(errors.NotFound("There is no buyer with this id.", code="buyer_not_found"))

    @app.errorhandler(domain.AccountNotFound)
    def account(_: domain.AccountNotFound) -> Response:
        return problem_response(
            errors.NotFound("There is no account with this id.", code="account_not_found")
        )

    @app.errorhandler(domain.PlacementNotFound)
    def placement(_: domain.PlacementNotFound) -> Response:
        return problem_response(
            errors.NotFound("There are no rules for this placement.", code="placement_not_found")
        )

    @app.errorhandler(domain.EndpointNotFound)
    def endpoint(_: domain.EndpointNotFound) -> Response:
        return problem_response(
            errors.NotFound("There is no webhook endpoint with this id.", code="endpoint_not_found")
        )

    @app.errorhandler(domain.DeliveryNotFound)
    def delivery(_: domain.DeliveryNotFound) -> Response:
        return problem_response(
            errors.NotFound("There is no webhook delivery with this id.", code="delivery_not_found")
        )

    @app.errorhandler(domain.RevisionMismatch)
    def revision(error: domain.RevisionMismatch) -> Response:
        return problem_response(errors.PreconditionFailed(str(error), code="revision_mismatch"))

    @app.errorhandler(domain.EquivalenceInvalid)
    def equivalence(error: domain.EquivalenceInvalid) -> Response:
        return problem_response(errors.Unprocessable(str(error), code="equivalence_invalid"))

    @app.errorhandler(domain.FilterInvalid)
    def filter_invalid(error: domain.FilterInvalid) -> Response:
        field = errors.FieldProblem(error.pointer, "filter_invalid", str(error))
        return problem_response(errors.BadRequest(str(error), code="filter_invalid", fields=[field]))

    def database(error: sa.exc.SQLAlchemyError) -> Response:
        if isinstance(getattr(error, "orig", None), QueryCanceled):
            log.warning("question_given_up")
            told = "The database took too long to answer this; nothing was changed. Ask for fewer days."
            return problem_response(errors.Unavailable(told, code="took_too_long"))
        log.warning("database_away", error=kinds(error))
        return problem_response(database_away())

    for kind in DATABASE_AWAY:
        app.register_error_handler(kind, database)

    @app.errorhandler(sa.exc.DatabaseError)
    def broken_off(error: sa.exc.DatabaseError) -> Response:
        """An answer that was cut in the middle has no kind of its own; all others here are our mistakes."""
        if type(error) is sa.exc.DatabaseError or error.connection_invalidated:
            return database(error)
        return crash_response("recommender", error)
