"""Placement rules, the log of what was recommended, and what keeps signals and assets in agreement."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PLACEMENTS = """
-- `placements_revision` is read with the catalogue's head, so that rules hold from the next answer on.
ALTER TABLE recommender.catalogue_head
    ADD COLUMN placements_revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN previous_model text,
    ADD COLUMN promoted_at timestamptz;

CREATE TABLE recommender.placements (
    placement_id text PRIMARY KEY,
    version bigint NOT NULL,
    rules jsonb NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL
);

-- Every version that there was; `rules` is NULL for a deletion.
CREATE TABLE recommender.placement_changes (
    placement_id text NOT NULL,
    version bigint NOT NULL,
    rules jsonb,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    PRIMARY KEY (placement_id, version)
);
"""

RECOMMENDATION_LOG = """
-- One row an answer. `identity_id` and not the buyer: a merge must not leave rows behind that belong to nobody.
-- `propensity` is the exact chance that the asset at `chance_rank` stood there; NULL where nothing was left to chance.
CREATE TABLE recommender.recommendation_log (
    at timestamptz NOT NULL,
    recommendation_id text NOT NULL,
    placement text NOT NULL,
    channel text NOT NULL,
    goal text NOT NULL,
    tier text NOT NULL,
    degraded boolean NOT NULL,
    ranking text NOT NULL,
    catalogue_revision bigint NOT NULL,
    identity_id bigint,
    account_id bigint,
    stage text,
    persona text,
    topics text[] NOT NULL,
    asked smallint NOT NULL,
    asset_ids text[] NOT NULL,
    chance_rank smallint,
    propensity double precision,
    weak text[] NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX recommendation_log_id ON recommender.recommendation_log (recommendation_id);
CREATE INDEX recommendation_log_identity ON recommender.recommendation_log (identity_id)
    WHERE identity_id IS NOT NULL;
CREATE INDEX recommendation_log_assets ON recommender.recommendation_log USING gin (asset_ids);
CREATE TABLE recommender.recommendation_log_default PARTITION OF recommender.recommendation_log DEFAULT;
"""

AGREEMENT = """
-- `page` is the address that a signal named where no asset was there yet; it is attributed when one comes.
ALTER TABLE recommender.signals ADD COLUMN page text;
CREATE INDEX signals_page ON recommender.signals (page) WHERE asset_id IS NULL AND page IS NOT NULL;
CREATE INDEX signals_asset ON recommender.signals (asset_id) WHERE asset_id IS NOT NULL;

-- What the buyers' states were told of an asset; where it differs from the asset, they are folded anew.
ALTER TABLE recommender.assets ADD COLUMN folded_type text, ADD COLUMN attributed_key text;
UPDATE recommender.assets SET folded_type = type, attributed_key = url_key;
CREATE INDEX assets_unannounced ON recommender.assets (asset_id)
    WHERE folded_type IS DISTINCT FROM type OR attributed_key IS DISTINCT FROM url_key;

-- The buyer's last signal, so that the recently active can be asked for.
ALTER TABLE recommender.profiles ADD COLUMN last_at timestamptz;
CREATE INDEX profiles_last ON recommender.profiles (last_at DESC NULLS LAST);
"""


def upgrade() -> None:
    for block in (PLACEMENTS, RECOMMENDATION_LOG, AGREEMENT):
        op.execute(block)
