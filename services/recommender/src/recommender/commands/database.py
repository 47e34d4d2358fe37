"""The database for commands that work on it: one engine, and its troubles as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import sqlalchemy as sa

from recommender.store.migrate import require_known_schema
from servicekit.cli import UserError
from servicekit.database import SchemaUnknown, create_engine
from servicekit.errors import Unavailable

database_option = click.option(
    "--database-url", envvar="DATABASE_URL", required=True, help="postgresql://user@host/name"
)


@contextmanager
def opened(url: str, name: str) -> Iterator[sa.Engine]:
    """An engine on a schema that this version knows."""
    try:
        engine = create_engine(url, pool_size=3, application_name=f"foreword-{name}")
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        require_known_schema(engine)
        yield engine
    except (SchemaUnknown, Unavailable) as error:
        raise UserError(str(error)) from error
    except sa.exc.OperationalError as error:
        raise UserError(f"The database does not answer: {str(error.orig).splitlines()[0]}") from error
    finally:
        engine.dispose()
