"""Brings the gateway's schema to its newest revision, and refuses to serve on another one."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gateway.store.tables import SCHEMA
from servicekit import database

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(url: str) -> str:
    """→ the revision the schema `gateway` is at now."""
    return database.migrate(url, schema=SCHEMA, script_location=_SCRIPTS)


def require_known_schema(engine: sa.Engine) -> None:
    database.require_known_schema(engine, schema=SCHEMA, script_location=_SCRIPTS)
