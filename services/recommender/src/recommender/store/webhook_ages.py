"""How far the webhooks' outbox is behind."""

from __future__ import annotations

import sqlalchemy as sa


def webhook_outbox_age(connection: sa.Connection) -> tuple[float, int]:
    """→ (seconds that the oldest pending delivery has waited, 0 without one; how many are pending, to 10,000)."""
    row = connection.exec_driver_sql(
        "SELECT coalesce(extract(epoch FROM now() - min(created_at))::float8, 0), count(*) FROM "
        "(SELECT created_at FROM recommender.webhook_deliveries WHERE state = 'pending' "
        "ORDER BY next_attempt_at LIMIT 10000) d"
    ).one()
    return float(row[0]), int(row[1])
