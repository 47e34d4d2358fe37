"""What the replicas' fallbacks have in common: assets taken away, and the last good answers.

Revision ID: gateway_0003
Revises: gateway_0002
"""

from __future__ import annotations

from alembic import op

revision = "gateway_0003"
down_revision = "gateway_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE gateway.withdrawals (
            withdrawal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            asset_id      text,
            at            timestamptz NOT NULL
        )
        """
    )
    op.execute("COMMENT ON COLUMN gateway.withdrawals.asset_id IS 'NULL: any asset may have changed'")
    op.execute("CREATE INDEX withdrawals_at ON gateway.withdrawals (at)")
    op.execute(
        """
        CREATE TABLE gateway.last_good_answers (
            placement text NOT NULL,
            filter    text NOT NULL,
            assets    jsonb NOT NULL,
            at        timestamptz NOT NULL,
            PRIMARY KEY (placement, filter)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE gateway.last_good_answers")
    op.execute("DROP TABLE gateway.withdrawals")
