"""A model that was taken back stays back, and how a coming model compared with the one that serves."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MODEL_CHANGE = """
-- Not promoted again by itself, however complete: somebody took it back.
ALTER TABLE recommender.catalogue_head ADD COLUMN held_model text;
CREATE TABLE recommender.model_comparisons (
    model_id text NOT NULL,
    against text NOT NULL,
    compared_at timestamptz NOT NULL,
    assets integer NOT NULL,
    overlap real NOT NULL,
    score_shift real NOT NULL,
    separation real NOT NULL,
    stage_shift real NOT NULL,
    recall real NOT NULL,
    findings text[] NOT NULL,
    PRIMARY KEY (model_id, against)
);
"""


def upgrade() -> None:
    op.execute(MODEL_CHANGE)
