"""The gateway's settings, read once from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from limits import parse_many
from pydantic import Field, SecretStr, field_validator

from servicekit.database import normalise_url
from servicekit.settings import Settings


class GatewaySettings(Settings):
    """Everything an operator may set; each has a default but the database."""

    database_url: SecretStr = Field(
        validation_alias="DATABASE_URL", description="PostgreSQL that holds the keys: postgresql://…"
    )
    recommender_url: str = Field(
        "http://127.0.0.1:8081", pattern=r"^https?://", description="Where the recommender answers."
    )
    project_secret: SecretStr | None = Field(
        None,
        description="Signs user tokens and click links, 32 characters or more. Left out: made once and kept "
        "in the database, so that all replicas agree.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="Base of click links, e.g. https://content.example.com; default: the request's Host.",
    )
    oidc_issuer: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Identity provider that people sign in to the studio with; left out: passwords alone.",
    )
    oidc_client_id: str | None = Field(None, description="The studio's client id at that provider.")
    oidc_client_secret: SecretStr | None = Field(None, description="Its secret there.")
    prometheus_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Prometheus that the studio's shared goals are read from, e.g. http://prometheus:9090.",
    )
    recommender_metrics_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Without a Prometheus: one recommender's /metrics, for the studio's shared goals.",
    )
    static_fallback_file: Path | None = Field(
        None, description="JSON list of assets shown when nothing else is left: id, title, url, type, …"
    )
    recommendation_timeout_seconds: float = Field(
        1.0, gt=0, le=30, description="How long a recommendation may take before the fallback answers."
    )
    signal_timeout_seconds: float = Field(10.0, gt=0, description="How long storing signals may take.")
    read_timeout_seconds: float = Field(10.0, gt=0, description="For reading assets, buyers, searches.")
    write_timeout_seconds: float = Field(30.0, gt=0, description="For writing one asset, erasing a buyer.")
    stream_timeout_seconds: float = Field(
        120.0, gt=0, description="Longest silence in an import, an upload, or a block of a batch."
    )
    click_timeout_seconds: float = Field(
        0.5, gt=0, description="How long a click link waits for its signal to be stored before it redirects."
    )
    click_queue_size: int = Field(
        10_000, ge=1, description="Clicks kept in memory while the recommender is away."
    )
    fallback_max_age_seconds: int = Field(
        6 * 3600, ge=1, description="How long a last-known-good answer may be served."
    )
    key_refresh_seconds: float = Field(
        1.0, gt=0, le=2, description="How often keys are read anew; a revoked key is refused after that."
    )
    kept_keys_file: Path | None = Field(
        None,
        description="File where the keys' digests are kept, for a start while the database is away; none by "
        "default. It also holds the project's secret, unless that is a setting: no one else may read it.",
    )
    rate_limit: str = Field(
        "30000/minute", description="Requests per key, e.g. `100/second;30000/minute`; `off` for none."
    )

    rate_limit_storage_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey that all replicas count requests in: `redis://…`, `rediss://…`, "
        "`valkey://…`; default: each counts by itself.",
    )
    hubspot_client_secret: SecretStr | None = Field(
        None, description="Secret of the firm's HubSpot app, which signs the webhooks to `/v1/hubspot`."
    )
    hubspot_email_ids: Literal["off", "plain", "sha256"] = Field(
        "off",
        description="Whether user ids are e-mail addresses in lower case (`plain`) or the SHA-256 of those "
        "(`sha256`): then a HubSpot contact's `email` joins it to the buyer.",
    )
    placement_limits: dict[str, str] = Field(
        {}, description='Requests per placement over all keys, as JSON: `{"newsletter": "1000/minute"}`.'
    )

    @field_validator("rate_limit_storage_url")
    @classmethod
    def _known_storage(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "valkey://", "valkeys://")
        if value is not None and not value.get_secret_value().startswith(schemes):
            raise ValueError("use redis://, rediss://, valkey:// or valkeys://")
        return value

    @field_validator("placement_limits")
    @classmethod
    def _readable_rates(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            parse_many(text)
        return value

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: SecretStr) -> SecretStr:
        normalise_url(value.get_secret_value())
        return value

    @field_validator("rate_limit")
    @classmethod
    def _readable_rate(cls, value: str) -> str:
        if value != "off":
            parse_many(value)
        return value

    @field_validator("project_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("use 32 characters or more")
        return value
