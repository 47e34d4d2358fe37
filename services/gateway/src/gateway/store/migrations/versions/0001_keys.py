"""Keys, and the project's secret.

Revision ID: gateway_0001
Revises:
"""

from __future__ import annotations

from alembic import op

revision = "gateway_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE gateway.api_keys (
            key_id       text PRIMARY KEY,
            kind         text NOT NULL CHECK (kind IN ('publishable', 'secret')),
            name         text NOT NULL,
            digest       bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
            scopes       text[] NOT NULL DEFAULT '{}',
            origins      text[] NOT NULL DEFAULT '{}',
            created_at   timestamptz NOT NULL,
            last_used_at timestamptz,
            revoked_at   timestamptz
        )
        """
    )
    op.execute("CREATE TABLE gateway.project (name text PRIMARY KEY, value bytea NOT NULL)")


def downgrade() -> None:
    op.execute("DROP TABLE gateway.project")
    op.execute("DROP TABLE gateway.api_keys")
