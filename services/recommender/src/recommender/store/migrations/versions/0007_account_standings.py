"""Where each account stands, kept so that a list of thousands can be searched, sorted and paged."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STANDINGS = """
-- Derived from profiles and thrown away at will: a loop fills it again. `last_at` is the epoch where an account
-- has no signal, and `name` the id where it has no name, so that every order is an index read in one direction.
CREATE TABLE recommender.account_standings (
    account_id bigint PRIMARY KEY REFERENCES recommender.accounts ON DELETE CASCADE,
    external_id text NOT NULL,
    name text NOT NULL,
    stage text NOT NULL,
    stage_rank smallint NOT NULL,
    confidence real NOT NULL,
    people integer NOT NULL,
    signals integer NOT NULL,
    last_at timestamptz NOT NULL,
    surging text[] NOT NULL,
    surging_count smallint NOT NULL,
    counted_at timestamptz NOT NULL
);
CREATE INDEX account_standings_last ON recommender.account_standings (last_at, account_id);
CREATE INDEX account_standings_people ON recommender.account_standings (people, account_id);
CREATE INDEX account_standings_stage_rank ON recommender.account_standings (stage_rank, account_id);
CREATE INDEX account_standings_surging ON recommender.account_standings (surging_count, account_id);
CREATE INDEX account_standings_name ON recommender.account_standings (lower(name), account_id);
CREATE INDEX account_standings_stage ON recommender.account_standings (stage, last_at, account_id);
CREATE INDEX account_standings_counted ON recommender.account_standings (counted_at);
"""


def upgrade() -> None:
    op.execute(STANDINGS)
