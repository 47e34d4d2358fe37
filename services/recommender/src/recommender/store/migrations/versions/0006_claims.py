"""Who claimed an id without a proof: browsers say who they are, and are not believed about anybody known."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CLAIMS = """
-- `claimed_by` is the anonymous id that named a user or account first, with nothing but a publishable key; NULL
-- for one that a server vouched for. `claimed_id` is the name that an unproven one had before a server used it.
ALTER TABLE recommender.identities ADD COLUMN claimed_by text, ADD COLUMN claimed_id text;
ALTER TABLE recommender.accounts ADD COLUMN claimed_by text, ADD COLUMN claimed_id text;
CREATE INDEX identities_claimed_id ON recommender.identities (claimed_id) WHERE claimed_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(CLAIMS)
