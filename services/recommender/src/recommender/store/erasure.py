"""Taking one buyer out of every table, and giving out what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from recommender.domain.identities import Identity
from recommender.store import email_slots, mentions, recommendation_log, wipes
from recommender.store.identities import identity_hash
from recommender.store.webhooks import forget_buyers

# No client can send it: ids hold printable characters only.
ERASED_CLAIMANT = "\x01erased:"
# Where there is none: the database counts from 1.
NO_IDENTITY = 0
# Besides the months that held something: tables that are small, or hold each buyer somewhere.
_ALWAYS_TOUCHED = tuple(
    f"recommender.{name}"
    for name in (
        "identities", "buyers", "profiles", "accounts", "account_standings", "dead_letters", "email_slots",
        "webhook_events", "webhook_deliveries", "webhook_marks",
    )
)  # fmt: skip


def identities_of(connection: sa.Connection, external_id: str) -> tuple[set[int], list[tuple[int, Identity]]]:
    """→ (buyers this id leads to, all their identities), locked until commit."""
    buyers = {
        int(row[0])
        for row in connection.exec_driver_sql(
            "SELECT DISTINCT buyer_id FROM recommender.identities WHERE external_id = %(id)s OR claimed_id = %(id)s",
            {"id": external_id},
        )
    }
    found: list[tuple[int, Identity]] = []
    while True:
        rows = connection.exec_driver_sql(
            "SELECT identity_id, kind, external_id, buyer_id FROM recommender.identities "
            "WHERE buyer_id = ANY(%s) OR identity_id = ANY(%s) ORDER BY identity_id FOR UPDATE",
            (sorted(buyers), [identity_id for identity_id, _ in found]),
        ).all()
        # A merge that was under way may have added identities, or moved these; look until nothing moves.
        known = len(found), len(buyers)
        found = [(int(row[0]), Identity(row[1], row[2])) for row in rows]
        buyers |= {int(row[3]) for row in rows}
        if (len(found), len(buyers)) == known:
            return buyers, found


def traces_without_identity(connection: sa.Connection, external_id: str) -> bool:
    """Whether somebody who never became an identity left something all the same: a mail, an unreadable event."""
    return bool(
        connection.exec_driver_sql(
            "SELECT EXISTS (SELECT FROM recommender.email_slots WHERE external_id = %s) OR "
            "EXISTS (SELECT FROM recommender.dead_letters d, unnest(%s::bytea[]) AS t "
            "WHERE position(t IN d.event) > 0)",
            (external_id, mentions.in_bytes(external_id)),
        ).scalar_one()
    )


def both_kinds(external_id: str) -> list[tuple[int, Identity]]:
    """An id that never became an identity, as either kind: so that it is kept out from now on."""
    return [(NO_IDENTITY, Identity("user", external_id)), (NO_IDENTITY, Identity("anonymous", external_id))]


def erase(
    connection: sa.Connection,
    buyers: set[int],
    identities: Sequence[tuple[int, Identity]],
    receipt_id: str,
    now: datetime,
) -> int:
    """Remove signals, profile, dead letters and identities; leave hashes that keep replays out. → signals."""
    ids = [identity_id for identity_id, _ in identities]
    names = mentions.names_of(connection, identities)
    gone = connection.exec_driver_sql(
        "WITH gone AS (DELETE FROM recommender.signals WHERE identity_id = ANY(%s) RETURNING tableoid) "
        "SELECT tableoid::regclass::text, count(*) FROM gone GROUP BY 1",
        (ids,),
    ).all()
    touched = {str(row[0]) for row in gone} | set(_ALWAYS_TOUCHED)
    for trace in {trace for name in names for trace in mentions.in_bytes(name)}:
        connection.exec_driver_sql(
            "DELETE FROM recommender.dead_letters WHERE position(%s::bytea IN event) > 0", (trace,)
        )
    touched |= mentions.scrub(connection, names)
    _forget_claims(connection, [identity for _, identity in identities])
    touched |= recommendation_log.forget(connection, ids)
    email_slots.forget(connection, [identity for _, identity in identities])
    forget_buyers(connection, sorted(buyers))
    connection.exec_driver_sql(
        "UPDATE recommender.identities SET linked_to = NULL WHERE linked_to = ANY(%s)", (ids,)
    )
    connection.exec_driver_sql("DELETE FROM recommender.identities WHERE identity_id = ANY(%s)", (ids,))
    # What their accounts are listed with came of them too; it is counted anew without them.
    connection.exec_driver_sql(
        "DELETE FROM recommender.account_standings WHERE account_id IN "
        "(SELECT account_id FROM recommender.buyers WHERE buyer_id = ANY(%s))",
        (sorted(buyers),),
    )
    connection.exec_driver_sql("DELETE FROM recommender.buyers WHERE buyer_id = ANY(%s)", (sorted(buyers),))
    connection.exec_driver_sql(
        "INSERT INTO recommender.tombstones (identity_hash, receipt_id, erased_at) VALUES (%s, %s, %s) "
        "ON CONFLICT DO NOTHING",
        [(identity_hash(identity), receipt_id, now) for _, identity in identities],
    )
    wipes.note(connection, sorted(touched), now)
    return sum(int(row[1]) for row in gone)


def _forget_claims(connection: sa.Connection, identities: Sequence[Identity]) -> None:
    """What an erased device was the first to name stays claimed, by nobody who could ever call again."""
    devices = [identity.external_id for identity in identities if identity.kind == "anonymous"]
    for table in ("identities", "accounts"):
        connection.exec_driver_sql(
            f"UPDATE recommender.{table} SET claimed_by = %s || md5(random()::text) "
            "WHERE claimed_by = ANY(%s)",
            (ERASED_CLAIMANT, devices),
        )


def tombstone_of(connection: sa.Connection, external_id: str) -> tuple[str, datetime] | None:
    """→ (receipt id, when) of an erasure that took this id, known or anonymous."""
    hashes = [identity_hash(Identity("user", external_id)), identity_hash(Identity("anonymous", external_id))]
    row = connection.exec_driver_sql(
        "SELECT receipt_id, erased_at FROM recommender.tombstones WHERE identity_hash = ANY(%s) LIMIT 1",
        (hashes,),
    ).one_or_none()
    return None if row is None else (row[0], row[1])
