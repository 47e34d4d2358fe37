"""Endpoints, the outbox and its deliveries. Deliveries are claimed for a while, so that none is lost in a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from recommender.domain.webhooks import DueDelivery, Endpoint, NewEvent
from servicekit.wire import dumps

_ENDPOINT = (
    "w.endpoint_id, w.url, w.events, w.description, w.secret, w.previous_secret, w.previous_until, "
    "w.created_at, w.updated_at, w.failing_since, w.disabled_at, w.disabled_reason"
)
# Whoever claimed a delivery and died has it taken over after this.
_LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    delivery_id: int
    event_id: str
    type: str
    endpoint_id: str
    state: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    finished_at: datetime | None
    last_status: int | None
    last_error: str | None


def _endpoint(row: Sequence[Any]) -> Endpoint:
    return Endpoint(row[0], row[1], tuple(row[2]), *row[3:12])


def put_endpoint(connection: sa.Connection, endpoint: Endpoint) -> None:
    connection.exec_driver_sql(
        "INSERT INTO recommender.webhook_endpoints AS w (endpoint_id, url, events, description, secret, "
        "previous_secret, previous_until, created_at, updated_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (endpoint_id) DO UPDATE SET "
        "url = excluded.url, events = excluded.events, description = excluded.description, "
        "secret = excluded.secret, previous_secret = excluded.previous_secret, "
        "previous_until = excluded.previous_until, updated_at = excluded.updated_at, "
        "failing_since = NULL, disabled_at = NULL, disabled_reason = NULL",
        (
            endpoint.endpoint_id,
            endpoint.url,
            list(endpoint.events),
            endpoint.description,
            endpoint.secret,
            endpoint.previous_secret,
            endpoint.previous_until,
            endpoint.created_at,
            endpoint.updated_at,
        ),
    )
    # What waited while it was disabled is tried at once.
    connection.exec_driver_sql(
        "UPDATE recommender.webhook_deliveries SET next_attempt_at = %s "
        "WHERE endpoint_id = %s AND state = 'pending'",
        (endpoint.updated_at, endpoint.endpoint_id),
    )


def endpoints(connection: sa.Connection) -> list[Endpoint]:
    rows = connection.exec_driver_sql(
        f"SELECT {_ENDPOINT} FROM recommender.webhook_endpoints w ORDER BY w.endpoint_id"
    )
    return [_endpoint(row) for row in rows]


def find_endpoint(connection: sa.Connection, endpoint_id: str) -> Endpoint | None:
    row = connection.exec_driver_sql(
        f"SELECT {_ENDPOINT} FROM recommender.webhook_endpoints w WHERE w.endpoint_id = %s", (endpoint_id,)
    ).one_or_none()
    return None if row is None else _endpoint(row)


def delete_endpoint(connection: sa.Connection, endpoint_id: str) -> bool:
    return bool(
        connection.exec_driver_sql(
            "DELETE FROM recommender.webhook_endpoints WHERE endpoint_id = %s", (endpoint_id,)
        ).rowcount
    )


def add_events(
    connection: sa.Connection, events: Sequence[NewEvent], now: datetime, only_to: str | None = None
) -> None:
    """Into the outbox: each event once, and a delivery to each endpoint that asked for its type."""
    for event in events:
        body = dumps({"type": event.type, "timestamp": now, "data": event.data}).decode()
        connection.exec_driver_sql(
            "INSERT INTO recommender.webhook_events (event_id, type, body, buyer_id, created_at) "
            "VALUES (%s, %s, %s, %s, %s)",
            (event.event_id, event.type, body, event.buyer_id, now),
        )
        connection.exec_driver_sql(
            "INSERT INTO recommender.webhook_deliveries (event_id, endpoint_id, state, created_at, "
            "next_attempt_at) SELECT %(event)s, endpoint_id, 'pending', %(now)s, %(now)s "
            "FROM recommender.webhook_endpoints WHERE endpoint_id = %(only)s OR "
            "(%(only)s::text IS NULL AND %(type)s = ANY(events))",
            {"event": event.event_id, "type": event.type, "now": now, "only": only_to},
        )


def claim_due(connection: sa.Connection, now: datetime, limit: int) -> list[DueDelivery]:
    """Deliveries whose time has come, each for this caller alone until its lease ends. The caller commits."""
    rows = connection.exec_driver_sql(
        "WITH due AS (SELECT d.delivery_id FROM recommender.webhook_deliveries d "
        "JOIN recommender.webhook_endpoints w USING (endpoint_id) WHERE d.state = 'pending' "
        "AND d.next_attempt_at <= %(now)s AND w.disabled_at IS NULL ORDER BY d.next_attempt_at "
        "LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED), claimed AS (UPDATE recommender.webhook_deliveries d "
        "SET attempts = d.attempts + 1, next_attempt_at = %(lease)s FROM due "
        "WHERE d.delivery_id = due.delivery_id RETURNING d.delivery_id, d.event_id, d.endpoint_id, d.attempts) "
        f"SELECT c.delivery_id, c.event_id, c.attempts, e.body, {_ENDPOINT} FROM claimed c "
        "JOIN recommender.webhook_events e USING (event_id) "
        "JOIN recommender.webhook_endpoints w USING (endpoint_id) ORDER BY c.delivery_id",
        {"now": now, "lease": now + _LEASE, "limit": limit},
    )
    return [DueDelivery(row[0], row[1], row[2], row[3], _endpoint(row[4:])) for row in rows]


def delivered(connection: sa.Connection, due: DueDelivery, status: int, now: datetime) -> None:
    connection.exec_driver_sql(
        "UPDATE recommender.webhook_deliveries SET state = 'delivered', finished_at = %s, last_status = %s, "
        "last_error = NULL WHERE delivery_id = %s",
        (now, status, due.delivery_id),
    )
    connection.exec_driver_sql(
        "UPDATE recommender.webhook_endpoints SET failing_since = NULL "
        "WHERE endpoint_id = %s AND failing_since IS NOT NULL",
        (due.endpoint.endpoint_id,),
    )


def failed(
    connection: sa.Connection,
    due: DueDelivery,
    *,
    status: int | None,
    error: str,
    now: datetime,
    again_at: datetime | None,
) -> None:
    """`again_at` None: this delivery is given up."""
    connection.exec_driver_sql(
        "UPDATE recommender.webhook_deliveries SET last_status = %(status)s, last_error = %(error)s, "
        "state = CASE WHEN %(again)s::timestamptz IS NULL THEN 'failed' ELSE 'pending' END, "
        "finished_at = CASE WHEN %(again)s::timestamptz IS NULL THEN %(now)s END, "
        "next_attempt_at = coalesce(%(again)s, next_attempt_at) WHERE delivery_id = %(id)s",
        {"status": status, "error": error[:500], "again": again_at, "now": now, "id": due.delivery_id},
    )
    connection.exec_driver_sql(
        "UPDATE recommender.webhook_endpoints SET failing_since = coalesce(failing_since, %s) "
        "WHERE endpoint_id = %s",
        (now, due.endpoint.endpoint_id),
    )


def disable(connection: sa.Connection, endpoint_id: str, reason: str, now: datetime) -> None:
    connection.exec_driver_sql(
        "UPDATE recommender.webhook_endpoints SET disabled_at = %s, disabled_reason = %s "
        "WHERE endpoint_id = %s AND disabled_at IS NULL",
        (now, reason, endpoint_id),
    )


def deliveries(
    connection: sa.Connection, *, endpoint_id: str | None, state: str | None, before: int | None, limit: int
) -> list[DeliveryRow]:
    """Newest first."""
    rows = connection.exec_driver_sql(
        "SELECT d.delivery_id, d.event_id, e.type, d.endpoint_id, d.state, d.attempts, d.created_at, "
        "d.next_attempt_at, d.finished_at, d.last_status, d.last_error FROM recommender.webhook_deliveries d "
        "JOIN recommender.webhook_events e USING (event_id) "
        "WHERE (%(endpoint)s::text IS NULL OR d.endpoint_id = %(endpoint)s) "
        "AND (%(state)s::text IS NULL OR d.state = %(state)s) "
        "AND (%(before)s::bigint IS NULL OR d.delivery_id < %(before)s) "
        "ORDER BY d.delivery_id DESC LIMIT %(limit)s",
        {"endpoint": endpoint_id, "state": state, "before": before, "limit": limit},
    )
    return [DeliveryRow(*row) for row in rows]


def retry(connection: sa.Connection, delivery_id: int, now: datetime) -> bool:
    return bool(
        connection.exec_driver_sql(
            "UPDATE recommender.webhook_deliveries SET state = 'pending', attempts = 0, finished_at = NULL, "
            "next_attempt_at = %s WHERE delivery_id = %s",
            (now, delivery_id),
        ).rowcount
    )


def disabled_count(connection: sa.Connection) -> int:
    return int(
        connection.exec_driver_sql(
            "SELECT count(*) FROM recommender.webhook_endpoints WHERE disabled_at IS NOT NULL"
        ).scalar_one()
    )


def purge(connection: sa.Connection, before: datetime) -> None:
    """Events that were made before then and of which nothing waits any more."""
    connection.exec_driver_sql(
        "DELETE FROM recommender.webhook_events e WHERE e.created_at < %s AND NOT EXISTS "
        "(SELECT FROM recommender.webhook_deliveries d WHERE d.event_id = e.event_id AND d.state = 'pending')",
        (before,),
    )


def forget_buyers(connection: sa.Connection, buyer_ids: Sequence[int]) -> None:
    """Part of an erasure: what was told of them goes, told or not."""
    connection.exec_driver_sql(
        "DELETE FROM recommender.webhook_events WHERE buyer_id = ANY(%s)", (list(buyer_ids),)
    )
    connection.exec_driver_sql(
        "DELETE FROM recommender.webhook_marks WHERE subject = 'buyer' AND subject_id = ANY(%s)",
        ([str(buyer_id) for buyer_id in buyer_ids],),
    )
