"""How long a question may keep a connection: figures over months of the log give up before their caller does."""

from __future__ import annotations

import sqlalchemy as sa

FIGURES_SECONDS = 8.0


def limit_time(connection: sa.Connection) -> None:
    """Until the transaction ends. A statement that takes longer raises `OperationalError` (QueryCanceled)."""
    milliseconds = str(int(FIGURES_SECONDS * 1000))
    connection.exec_driver_sql("SELECT set_config('statement_timeout', %s, true)", (milliseconds,))
