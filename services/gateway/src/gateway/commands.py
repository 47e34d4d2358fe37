"""`foreword keys …`: making, listing and revoking keys on the command line."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from gateway.keys import (
    SCOPES,
    ApiKey,
    DatabaseKeySource,
    KeyInvalid,
    KeyKind,
    ensure_development_keys,
    make_key,
    user_token,
)
from gateway.store.migrate import require_known_schema
from gateway.studio.audit import AuditLog, Note
from gateway.studio.commands import studio
from servicekit.cli import UserError
from servicekit.database import SchemaUnknown, create_engine
from servicekit.errors import Unavailable

_database_url = click.option(
    "--database-url", envvar="DATABASE_URL", required=True, help="postgresql://user@host/name"
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON, for scripts.")


@click.group()
def group() -> None:
    """The gateway's commands."""


group.add_command(studio)


@group.group()
def keys() -> None:
    """Make, list and revoke the keys that clients send."""


@contextmanager
def _store(url: str) -> Iterator[DatabaseKeySource]:
    with _book(url) as (store, _):
        yield store


@contextmanager
def _book(url: str) -> Iterator[tuple[DatabaseKeySource, AuditLog]]:
    """The keys, and the log in which every change of them stands."""
    try:
        engine = create_engine(url, pool_size=1, application_name="foreword-keys")
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        require_known_schema(engine)
        yield DatabaseKeySource(engine), AuditLog(engine)
    except (SchemaUnknown, Unavailable) as error:
        raise UserError(str(error)) from error
    except sa.exc.OperationalError as error:
        raise UserError("The database does not answer.") from error
    finally:
        engine.dispose()


@keys.command()
@click.option(
    "--kind", type=click.Choice([kind.value for kind in KeyKind]), default="secret", show_default=True
)
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice([*SCOPES, "all"]), help="Repeat as needed."
)
@click.option(
    "--origin", "origins", multiple=True, help="Page that may use a publishable key; repeat as needed."
)
@click.option("--name", required=True, help="Who or what uses it.")
@_as_json
@_database_url
def create(
    kind: str, scopes: tuple[str, ...], origins: tuple[str, ...], name: str, as_json: bool, database_url: str
) -> None:
    """Make a key. It is shown once, and kept only as a hash."""
    wanted = SCOPES if "all" in scopes else scopes
    try:
        text, key = make_key(KeyKind(kind), name=name, scopes=wanted, origins=origins, now=datetime.now(UTC))
    except KeyInvalid as error:
        raise UserError(str(error)) from error
    with _book(database_url) as (store, audit):
        store.add(key)
        _note(audit, "key.issued", key.key_id, f"Issued the {key.kind.value} key “{key.name}”")
    if as_json:
        _write_json({"key": text, **_document(key)})
        return
    click.echo(text)
    click.echo(f"{key.key_id}, '{key.name}'. This is the only time the key is shown.", err=True)
    if key.kind is KeyKind.PUBLISHABLE and not key.origins:
        click.echo("It takes any origin; bind it with --origin before it goes on a public page.", err=True)


@keys.command(name="list")
@_as_json
@_database_url
def list_keys(as_json: bool, database_url: str) -> None:
    """Show all keys, without the keys themselves."""
    with _store(database_url) as store:
        found = store.all()
    if as_json:
        _write_json([_document(key) for key in found])
        return
    table = Table(title="Keys", title_justify="left")
    table.add_column("id", no_wrap=True)  # whole, whatever the width: `revoke` takes it
    for heading in ("kind", "name", "scopes or origins", "made", "last used", "state"):
        table.add_column(heading, overflow="fold")
    for key in found:
        table.add_row(
            key.key_id,
            key.kind.value,
            key.name,
            "all scopes"
            if key.may("admin")
            else ", ".join(sorted(key.scopes) or key.origins) or "any origin",
            _day(key.created_at),
            _day(key.last_used_at) or "never",
            f"revoked {_day(key.revoked_at)}" if key.revoked_at else "works",
        )
    Console().print(table if found else "There are no keys yet: foreword keys create --name …")


@keys.command()
@click.argument("key_id")
@_database_url
def revoke(key_id: str, database_url: str) -> None:
    """Revoke a key by its id (key_…); it is refused within two seconds."""
    if key_id.startswith("fw_"):
        raise UserError("Give the key's id (key_…, see `foreword keys list`), not the key itself.")
    with _book(database_url) as (store, audit):
        if not store.revoke(key_id, now=datetime.now(UTC)):
            raise UserError(f"There is no key {key_id}.")
        _note(audit, "key.revoked", key_id, "Revoked the key")
    click.echo(f"{key_id} is revoked.")


@keys.command()
@click.argument("user_id")
@click.option(
    "--secret", envvar="FOREWORD_PROJECT_SECRET", help="The project's secret, if it is not in the database."
)
@_database_url
def token(user_id: str, secret: str | None, database_url: str) -> None:
    """Print the user_token that a publishable key needs for this USER_ID."""
    if secret:
        click.echo(user_token(secret.encode(), user_id))
        return
    with _store(database_url) as store:
        click.echo(user_token(store.project_secret(), user_id))


@keys.command()
@click.option("--file", "path", type=click.Path(path_type=Path, dir_okay=False), required=True)
@_database_url
def development(path: Path, database_url: str) -> None:
    """Keep a pair of keys for this machine in a file that only you can read."""
    with _store(database_url):
        ensure_development_keys(database_url, path)
    click.echo(f"Keys for development are in {path}.")


def _note(audit: AuditLog, action: str, key_id: str, summary: str) -> None:
    who = f"command line ({_system_user()})"
    audit.add([Note(datetime.now(UTC), None, who, action, ("key", key_id), summary)])


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"user {os.getuid()}"


def _document(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "kind": key.kind.value,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "origins": list(key.origins),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _write_json(value: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z) + b"\n")
    sys.stdout.flush()
