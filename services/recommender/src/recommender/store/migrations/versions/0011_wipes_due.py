"""Which tables' files still hold the bytes of erased buyers: `foreword wipe-erased` writes them anew."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE recommender.wipes_due (relation text PRIMARY KEY, since timestamptz NOT NULL, "
        "last timestamptz NOT NULL)"
    )
