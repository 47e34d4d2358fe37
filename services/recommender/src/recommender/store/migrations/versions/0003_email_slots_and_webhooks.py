"""What an email showed, and webhooks: endpoints, their outbox, and what subscribers were last told."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

EMAIL = """
-- What one slot of one mail to one recipient shows, so that opening it again shows the same.
CREATE TABLE recommender.email_slots (
    send_id text NOT NULL,
    identity_kind text NOT NULL CHECK (identity_kind IN ('user', 'anonymous')),
    external_id text NOT NULL,
    slot text NOT NULL,
    recommendation_id text NOT NULL,
    tier text NOT NULL,
    asset_ids text[] NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (send_id, identity_kind, external_id, slot)
);
CREATE INDEX email_slots_recipient ON recommender.email_slots (identity_kind, external_id);
CREATE INDEX email_slots_created ON recommender.email_slots (created_at);
"""

WEBHOOKS = """
CREATE TABLE recommender.webhook_endpoints (
    endpoint_id text PRIMARY KEY,
    url text NOT NULL,
    events text[] NOT NULL,
    description text NOT NULL DEFAULT '',
    secret text NOT NULL,
    previous_secret text,
    previous_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    failing_since timestamptz,
    disabled_at timestamptz,
    disabled_reason text
);

-- The outbox. A delivery is made with its event, in the transaction that notes what subscribers were told.
CREATE TABLE recommender.webhook_events (
    event_id text PRIMARY KEY,
    type text NOT NULL,
    body text NOT NULL,
    buyer_id bigint,
    created_at timestamptz NOT NULL
);
CREATE INDEX webhook_events_created ON recommender.webhook_events (created_at);
CREATE INDEX webhook_events_buyer ON recommender.webhook_events (buyer_id) WHERE buyer_id IS NOT NULL;

CREATE TABLE recommender.webhook_deliveries (
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL REFERENCES recommender.webhook_events ON DELETE CASCADE,
    endpoint_id text NOT NULL REFERENCES recommender.webhook_endpoints ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    finished_at timestamptz,
    last_status integer,
    last_error text
);
CREATE INDEX webhook_deliveries_due ON recommender.webhook_deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_event ON recommender.webhook_deliveries (event_id);
CREATE INDEX webhook_deliveries_endpoint ON recommender.webhook_deliveries (endpoint_id, delivery_id);

-- What subscribers were last told; an event is made where the truth differs.
CREATE TABLE recommender.webhook_marks (
    subject text NOT NULL CHECK (subject IN ('asset', 'buyer', 'account')),
    subject_id text NOT NULL,
    told jsonb NOT NULL,
    checked_at timestamptz NOT NULL,
    PRIMARY KEY (subject, subject_id)
);
-- Since when changes of a kind are watched: what was there before is noted and not told.
CREATE TABLE recommender.webhook_watches (
    type text PRIMARY KEY,
    since timestamptz NOT NULL,
    seeded boolean NOT NULL DEFAULT false
);
"""


def upgrade() -> None:
    for block in (EMAIL, WEBHOOKS):
        op.execute(block)
