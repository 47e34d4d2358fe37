"""What buyers were counted at, in the database: a move between stages is counted once, whoever counts."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CENSUS = """
-- What the last count found, for every replica to show; one row.
CREATE TABLE recommender.census (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    counted_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    figures jsonb NOT NULL
);
-- The stage at which each was counted last; it goes with the buyer or account.
CREATE TABLE recommender.buyer_stages (
    buyer_id bigint PRIMARY KEY REFERENCES recommender.buyers ON DELETE CASCADE,
    stage text NOT NULL
);
CREATE TABLE recommender.account_stages (
    account_id bigint PRIMARY KEY REFERENCES recommender.accounts ON DELETE CASCADE,
    stage text NOT NULL
);
-- How often one stage has become another since counting began.
CREATE TABLE recommender.stage_moves (
    subject text NOT NULL,
    from_stage text NOT NULL,
    to_stage text NOT NULL,
    moves bigint NOT NULL,
    PRIMARY KEY (subject, from_stage, to_stage)
);
"""


def upgrade() -> None:
    op.execute(CENSUS)
