"""The first tables: catalogue, embeddings, identities, buyers, accounts, signals, dead letters."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CATALOGUE = """
-- One row: every change of an asset takes the next revision here, inside its own transaction. The row's lock
-- is held until commit, so revisions become visible in order and "revision > last seen" loses nothing.
CREATE TABLE recommender.catalogue_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    revision bigint NOT NULL,
    live_model text
);
INSERT INTO recommender.catalogue_head (revision) VALUES (0);

CREATE TABLE recommender.assets (
    asset_id text PRIMARY KEY,
    revision bigint NOT NULL,
    change bigint NOT NULL,
    record_hash bytea NOT NULL,
    text_hash bytea NOT NULL,
    title text NOT NULL,
    summary text,
    body text,
    url text NOT NULL,
    url_key text NOT NULL,
    type text NOT NULL,
    language text,
    topics text[] NOT NULL DEFAULT '{}',
    personas text[] NOT NULL DEFAULT '{}',
    industries text[] NOT NULL DEFAULT '{}',
    regions text[] NOT NULL DEFAULT '{}',
    stages jsonb,
    status text NOT NULL CHECK (status IN ('draft', 'approved', 'archived')),
    publish_at timestamptz,
    expires_at timestamptz,
    image_url text,
    equivalent_to text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    embedding_failures integer NOT NULL DEFAULT 0,
    embedding_retry_at timestamptz
);
-- `revision` moves with an editor's change and is what If-Match speaks of; `change` moves also when the
-- embedding arrives, and is what replicas follow.
CREATE UNIQUE INDEX assets_change ON recommender.assets (change);
CREATE INDEX assets_url_key ON recommender.assets (url_key) WHERE deleted_at IS NULL;
CREATE INDEX assets_updated ON recommender.assets (updated_at DESC, asset_id) WHERE deleted_at IS NULL;

CREATE TABLE recommender.embeddings (
    asset_id text NOT NULL REFERENCES recommender.assets ON DELETE CASCADE,
    model_id text NOT NULL,
    text_hash bytea NOT NULL,
    vector bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (asset_id, model_id)
);
-- Vectors do not compress; reading them out of line uncompressed is faster.
ALTER TABLE recommender.embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;

CREATE TABLE recommender.prototype_embeddings (
    model_id text NOT NULL,
    prototypes_hash bytea NOT NULL,
    vectors bytea NOT NULL,
    PRIMARY KEY (model_id, prototypes_hash)
);
"""

BUYERS = """
CREATE TABLE recommender.accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    external_id text NOT NULL UNIQUE,
    traits jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);

-- `version` grows with every transaction that changes what the log says of this buyer; a profile made at
-- another version is stale.
CREATE TABLE recommender.buyers (
    buyer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint REFERENCES recommender.accounts,
    version bigint NOT NULL DEFAULT 0,
    stale boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL
);
CREATE INDEX buyers_account ON recommender.buyers (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX buyers_stale ON recommender.buyers (buyer_id) WHERE stale;

-- Signals belong to an identity for ever; which buyer an identity belongs to may change by a merge, so a
-- merge never rewrites the log. Traits are kept with their times: {"key": ["value", epoch seconds]}.
CREATE TABLE recommender.identities (
    identity_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('user', 'anonymous')),
    external_id text NOT NULL,
    buyer_id bigint NOT NULL REFERENCES recommender.buyers,
    linked_to bigint REFERENCES recommender.identities,
    linked_at timestamptz,
    account_id bigint REFERENCES recommender.accounts,
    account_at timestamptz,
    traits jsonb NOT NULL DEFAULT '{}',
    consent jsonb,
    consent_at timestamptz,
    opted_out_at timestamptz,
    UNIQUE (kind, external_id)
);
CREATE INDEX identities_buyer ON recommender.identities (buyer_id);

CREATE TABLE recommender.profiles (
    buyer_id bigint PRIMARY KEY REFERENCES recommender.buyers ON DELETE CASCADE,
    version bigint NOT NULL,
    fingerprint text NOT NULL,
    state bytea NOT NULL,
    folded_at timestamptz NOT NULL
);

CREATE TABLE recommender.tombstones (
    identity_hash bytea PRIMARY KEY,
    receipt_id text NOT NULL,
    erased_at timestamptz NOT NULL
);
"""

SIGNALS = """
-- Partitioning by event time would let a retry with a corrected clock in twice: message ids are unique here.
CREATE TABLE recommender.signal_keys (
    message_key uuid PRIMARY KEY,
    received_at timestamptz NOT NULL
);

CREATE TABLE recommender.signals (
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    identity_id bigint NOT NULL,
    account_id bigint,
    kind text NOT NULL,
    asset_id text,
    weight real NOT NULL,
    message_key uuid NOT NULL,
    event jsonb NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX signals_identity ON recommender.signals (identity_id, at);
CREATE INDEX signals_account ON recommender.signals (account_id, at) WHERE account_id IS NOT NULL;
CREATE TABLE recommender.signals_default PARTITION OF recommender.signals DEFAULT;

CREATE TABLE recommender.dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_key uuid NOT NULL UNIQUE,
    received_at timestamptz NOT NULL,
    kind text NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    event bytea NOT NULL
);
CREATE INDEX dead_letters_received ON recommender.dead_letters (received_at);
"""


def upgrade() -> None:
    for block in (CATALOGUE, BUYERS, SIGNALS):
        op.execute(block)
