"""Finding what changed since subscribers were last told, without reading everything."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX profiles_folded ON recommender.profiles (folded_at)")
    op.execute("CREATE INDEX webhook_marks_checked ON recommender.webhook_marks (subject, checked_at)")
