"""`foreword studio …`: the link with which the first person sets the studio up, or a lost one comes back."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import sqlalchemy as sa

from gateway.store.migrate import require_known_schema
from gateway.studio.people import People
from gateway.studio.roles import Role
from gateway.studio.sessions import PATH
from servicekit.cli import UserError
from servicekit.database import SchemaUnknown, create_engine
from servicekit.errors import ForewordError


@click.group()
def studio() -> None:
    """The content team's application: who may come in."""


@studio.command("setup-link")
@click.option("--email", help="Bind the link to this address; else whoever opens it says theirs.")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default="operator", show_default=True
)
@click.option("--only-first", is_flag=True, help="Print nothing once somebody works in the studio.")
@click.option("--url", default="http://127.0.0.1:8080", envvar="FOREWORD_PUBLIC_URL", show_default=True)
@click.option("--database-url", envvar="DATABASE_URL", required=True, help="postgresql://user@host/name")
def setup_link(email: str | None, role: str, only_first: bool, url: str, database_url: str) -> None:
    """Print a link that makes one person; it works once, for three days."""
    try:
        engine = create_engine(database_url, pool_size=1, application_name="foreword-studio")
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        require_known_schema(engine)
        people = People(engine)
        if only_first and not people.are_none():
            return
        token = people.invite(Role(role), email=email, now=datetime.now(UTC))
    except (SchemaUnknown, ForewordError) as error:
        raise UserError(str(error)) from error
    except sa.exc.OperationalError as error:
        raise UserError("The database does not answer.") from error
    finally:
        engine.dispose()
    click.echo(f"{url.rstrip('/')}{PATH}/setup/{token}")
