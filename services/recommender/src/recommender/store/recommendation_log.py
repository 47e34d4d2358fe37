"""The table of what was recommended: appended to in blocks, read for an asset's figures and for demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter

import sqlalchemy as sa

from recommender.domain.answers import AnswerRecord
from recommender.store.driver import copying

_NAMES = tuple(f.name for f in fields(AnswerRecord))
_COLUMNS = ", ".join(_NAMES)
_VALUES = attrgetter(*_NAMES)


def append(connection: sa.Connection, records: Sequence[AnswerRecord]) -> None:
    """COPY: thousands of rows cost one round trip. The caller commits.

    Of buyers who were erased since they were answered nothing is kept but that there was an answer.
    """
    if not records:
        return
    living = _hold(connection, sorted({r.identity_id for r in records if r.identity_id is not None}))
    kept = [r if r.identity_id is None or r.identity_id in living else _nobodys(r) for r in records]
    with copying(connection, f"recommender.recommendation_log ({_COLUMNS})") as copy:
        for record in kept:
            copy.write_row([list(v) if isinstance(v, tuple) else v for v in _VALUES(record)])


def _hold(connection: sa.Connection, identity_ids: Sequence[int]) -> set[int]:
    """Which of these identities there are; an erasure waits until the caller commits."""
    if not identity_ids:
        return set()
    rows = connection.exec_driver_sql(
        "SELECT identity_id FROM recommender.identities WHERE identity_id = ANY(%s) "
        "ORDER BY identity_id FOR KEY SHARE",
        (list(identity_ids),),
    )
    return {int(row[0]) for row in rows}


def _nobodys(record: AnswerRecord) -> AnswerRecord:
    return replace(record, identity_id=None, account_id=None, persona=None, topics=())


def forget(connection: sa.Connection, identity_ids: Sequence[int]) -> set[str]:
    """Take an erased buyer's answers out. → the months' tables that held some."""
    rows = connection.exec_driver_sql(
        "WITH gone AS (DELETE FROM recommender.recommendation_log WHERE identity_id = ANY(%s) "
        "RETURNING tableoid) SELECT DISTINCT tableoid::regclass::text FROM gone",
        (list(identity_ids),),
    )
    return {str(row[0]) for row in rows}


@dataclass(frozen=True, slots=True)
class Demand:
    """Weak answers of one stage, role and topic, and whom they were for."""

    stage: str
    persona: str | None
    topic: str | None
    accounts: int
    buyers: int
    answers: int


# An account that is not known counts by its buyer.
_WHO = "coalesce('a' || l.account_id, 'b' || i.buyer_id)"
_COUNTS = (
    f"count(DISTINCT {_WHO}), count(DISTINCT i.buyer_id), count(DISTINCT l.recommendation_id) "
    "FROM recommender.recommendation_log l LEFT JOIN recommender.identities i USING (identity_id)"
)
_TOPICS = " LEFT JOIN LATERAL unnest(l.topics) AS t(topic) ON true"


def demand_by(
    connection: sa.Connection, since: datetime, weak: Sequence[str], *, persona: bool, topic: bool, limit: int
) -> list[Demand]:
    """Unmet demand since then by stage, and by role and topic where asked for, the most wanted first.

    Counts answers that were weak for one of the reasons in `weak`, of buyers whose stage is known.
    """
    columns = ["l.stage", "l.persona" if persona else "NULL", "t.topic" if topic else "NULL"]
    grouped = [c for c in columns if c != "NULL"]
    rows = connection.exec_driver_sql(
        f"SELECT {', '.join(columns)}, {_COUNTS}{_TOPICS if topic else ''} "
        "WHERE l.at >= %(since)s AND l.stage IS NOT NULL AND l.weak && %(weak)s::text[] "
        f"GROUP BY {', '.join(grouped)} ORDER BY 4 DESC, 5 DESC, 6 DESC, 1, 2, 3 LIMIT %(limit)s",
        {"since": since, "weak": list(weak), "limit": limit},
    )
    return [Demand(*row) for row in rows]


def answer_totals(connection: sa.Connection, since: datetime) -> tuple[int, int, int]:
    """→ (answers, weak ones, those made for anybody)."""
    row = connection.exec_driver_sql(
        "SELECT count(*), count(*) FILTER (WHERE cardinality(weak) > 0), "
        "count(*) FILTER (WHERE 'fallback' = ANY(weak)) FROM recommender.recommendation_log WHERE at >= %s",
        (since,),
    ).one()
    return int(row[0]), int(row[1]), int(row[2])


def fallback_topics(connection: sa.Connection, since: datetime, limit: int) -> list[tuple[str, int]]:
    """→ (topic, answers), for answers that were made for anybody."""
    rows = connection.exec_driver_sql(
        "SELECT topic, count(*) FROM recommender.recommendation_log, unnest(topics) AS topic "
        "WHERE at >= %s AND 'fallback' = ANY(weak) GROUP BY topic ORDER BY 2 DESC, 1 LIMIT %s",
        (since, limit),
    )
    return [(row[0], int(row[1])) for row in rows]


def shown_assets(connection: sa.Connection, since: datetime) -> set[str]:
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT unnest(asset_ids) FROM recommender.recommendation_log WHERE at >= %s", (since,)
    )
    return {row[0] for row in rows}


def shown_counts(
    connection: sa.Connection, asset_id: str, since: datetime
) -> list[tuple[str, str | None, str, int]]:
    """→ (placement, stage, tier, answers that held the asset)."""
    rows = connection.exec_driver_sql(
        "SELECT placement, stage, tier, count(*) FROM recommender.recommendation_log "
        "WHERE at >= %s AND asset_ids @> ARRAY[%s] GROUP BY 1, 2, 3",
        (since, asset_id),
    )
    return [(row[0], row[1], row[2], int(row[3])) for row in rows]


def shown_people(connection: sa.Connection, asset_id: str, since: datetime) -> tuple[int, int]:
    """→ (known buyers, accounts) whom the asset was recommended to."""
    row = connection.exec_driver_sql(
        "SELECT count(DISTINCT i.buyer_id), count(DISTINCT l.account_id) "
        "FROM recommender.recommendation_log l LEFT JOIN recommender.identities i USING (identity_id) "
        "WHERE l.at >= %s AND l.asset_ids @> ARRAY[%s]",
        (since, asset_id),
    ).one()
    return int(row[0]), int(row[1])


def last_shown(
    connection: sa.Connection, asset_id: str, since: datetime, limit: int
) -> list[tuple[datetime, str | None, str | None, str | None, str, int]]:
    """→ (at, user id, account's name, stage, placement, rank), newest first."""
    rows = connection.exec_driver_sql(
        "SELECT l.at, (SELECT min(u.external_id) FROM recommender.identities u WHERE u.buyer_id = i.buyer_id "
        "AND u.kind = 'user'), g.external_id, l.stage, l.placement, array_position(l.asset_ids, %(asset)s) "
        "FROM recommender.recommendation_log l LEFT JOIN recommender.identities i USING (identity_id) "
        "LEFT JOIN recommender.accounts g ON g.account_id = l.account_id "
        "WHERE l.at >= %(since)s AND l.asset_ids @> ARRAY[%(asset)s] ORDER BY l.at DESC LIMIT %(limit)s",
        {"asset": asset_id, "since": since, "limit": limit},
    )
    return [(row[0], row[1], row[2], row[3], row[4], int(row[5])) for row in rows]
