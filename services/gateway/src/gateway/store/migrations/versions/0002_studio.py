"""The studio's users, invitations, sessions and audit log.

Revision ID: gateway_0002
Revises: gateway_0001
"""

from __future__ import annotations

from alembic import op

revision = "gateway_0002"
down_revision = "gateway_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE gateway.studio_users (
            user_id           text PRIMARY KEY,
            email             text NOT NULL UNIQUE CHECK (email = lower(email)),
            name              text NOT NULL,
            role              text NOT NULL CHECK (role IN ('viewer', 'editor', 'approver', 'operator')),
            password_hash     text,
            created_at        timestamptz NOT NULL,
            last_signed_in_at timestamptz,
            disabled_at       timestamptz
        )
        """
    )
    op.execute(
        """
        CREATE TABLE gateway.studio_invitations (
            digest     bytea PRIMARY KEY CHECK (length(digest) = 32),
            email      text,
            role       text NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at    timestamptz
        )
        """
    )
    op.execute(
        """
        CREATE TABLE gateway.studio_sessions (
            digest       bytea PRIMARY KEY CHECK (length(digest) = 32),
            user_id      text NOT NULL REFERENCES gateway.studio_users ON DELETE CASCADE,
            created_at   timestamptz NOT NULL,
            last_seen_at timestamptz NOT NULL,
            expires_at   timestamptz NOT NULL,
            revoked_at   timestamptz
        )
        """
    )
    op.execute("CREATE INDEX ON gateway.studio_sessions (user_id)")
    op.execute(
        """
        CREATE TABLE gateway.studio_audit_log (
            entry_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at           timestamptz NOT NULL,
            user_id      text,
            actor        text NOT NULL,
            action       text NOT NULL,
            subject_kind text NOT NULL,
            subject_id   text NOT NULL,
            summary      text NOT NULL,
            before       jsonb,
            after        jsonb
        )
        """
    )
    op.execute("CREATE INDEX ON gateway.studio_audit_log (subject_kind, subject_id, at DESC)")
    op.execute("CREATE INDEX ON gateway.studio_audit_log (at DESC)")


def downgrade() -> None:
    for table in ("studio_audit_log", "studio_sessions", "studio_invitations", "studio_users"):
        op.execute(f"DROP TABLE gateway.{table}")
