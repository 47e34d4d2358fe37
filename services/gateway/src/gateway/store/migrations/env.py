"""Alembic's entry: the connection and the schema come from `servicekit.database.migrate`."""

from servicekit.database import run_environment

run_environment()
