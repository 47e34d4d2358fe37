"""The recommender's settings, read once at start."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from servicekit.settings import Settings


class RecommenderSettings(Settings):
    """Environment names are FOREWORD_ and the field in capitals, but for DATABASE_URL."""

    database_url: str = Field(
        validation_alias="DATABASE_URL",
        pattern="^postgres(ql)?(\\+psycopg)?://",
        description="PostgreSQL 15+.",
    )
    embedder_url: str = Field("http://127.0.0.1:8082", description="Base address of the embedder.")
    embed_timeout_seconds: float = Field(
        20.0, gt=0, description="Longest wait for the embedder when assets are stored."
    )
    threads: int = Field(16, ge=1, description="Request threads; the database pool is sized by them.")
    signals_file: Path | None = Field(None, description="A firm's own signals.toml.")
    stages_file: Path | None = Field(None, description="A firm's own stages.toml.")
    ranking_file: Path | None = Field(None, description="A firm's own ranking.toml or learnt ranking.")
    reconcile_seconds: float = Field(2.0, gt=0, description="Pause between looks for missing embeddings.")
    keep_old_vectors_days: float = Field(
        7.0, ge=0, description="How long vectors of the model before are kept after a change of model."
    )
    fold_seconds: float = Field(0.5, gt=0, description="Pause between looks for stale profiles.")
    learn_seconds: float = Field(20.0, gt=0, description="Pause between looks at the log for new behaviour.")
    census_seconds: float = Field(
        15.0, gt=0, description="Pause between counts of buyers by stage, for the dashboards."
    )
    standings_seconds: float = Field(
        2.0, gt=0, description="Pause between counts of where accounts stand, for the studio's list."
    )
    follow_seconds: float = Field(2.0, gt=0, description="Pause between looks for catalogue changes.")
    webhook_allow_private: bool = Field(
        False, description="Let webhooks go to http and into private networks; for a firm's own systems."
    )
    webhook_disable_seconds: float = Field(
        259_200, gt=0, description="A webhook endpoint that failed for so long is disabled."
    )
    snapshot_dir: Path | None = Field(
        None, description="Folder where the index is kept for the next start; none by default."
    )
    snapshot_seconds: float = Field(
        300.0, gt=0, description="Pause between snapshots of an index that changed."
    )
    index_exact_assets: int = Field(
        20_000,
        ge=1,
        description="Up to so many assets search is exact; beyond, an approximate index is built and tuned "
        "beside the requests.",
    )
    index_recall_floor: float = Field(
        0.99,
        gt=0,
        le=1,
        description="Share of the exact 10 nearest that an approximate index must find on this catalogue to "
        "be used.",
    )
    upload_workers: int = Field(2, ge=1, description="Processes that read uploaded files.")
