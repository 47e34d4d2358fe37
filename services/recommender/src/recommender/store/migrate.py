"""Bringing the recommender's schema to the newest revision, and refusing to serve on another."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from servicekit import database

SCHEMA = "recommender"
_LOCATION = Path(__file__).parent / "migrations"


def migrate(url: str) -> str:
    """→ the revision that the schema is at now."""
    return database.migrate(url, schema=SCHEMA, script_location=_LOCATION)


def require_known_schema(engine: sa.Engine) -> None:
    database.require_known_schema(engine, schema=SCHEMA, script_location=_LOCATION)
