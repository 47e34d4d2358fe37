"""What outcomes taught about stages: calibrations by version, the latest that is not retired is served."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE recommender.calibrations ("
        "version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "stage_version text NOT NULL, body jsonb NOT NULL, report jsonb NOT NULL, "
        "created_at timestamptz NOT NULL, retired_at timestamptz)"
    )
