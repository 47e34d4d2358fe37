"""When a profile must be folded anew though nothing came: signals dated ahead of the clock that folded it."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DUE = """
ALTER TABLE recommender.profiles ADD COLUMN due_at timestamptz;
CREATE INDEX profiles_due ON recommender.profiles (due_at) WHERE due_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(DUE)
