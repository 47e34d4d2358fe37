"""Settings: read once from the environment, typed, frozen; a start with wrong ones lists every mistake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from servicekit.settings_invalid import SettingsInvalid

__all__ = ["Settings", "SettingsInvalid"]


class Settings(BaseSettings):
    """Base of each service's settings; the environment name is `FOREWORD_` and the field in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="FOREWORD_",
        # Manifests leave a variable out by leaving it empty.
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
    )

    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="What is logged.")
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Largest request body that is read, in bytes."
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://",
        description="Where traces go, OTLP over HTTP (e.g. http://tempo:4318); left out: none are made. "
        "Needs the extra `tracing`.",
    )
    trace_sample_ratio: float = Field(
        0.1, ge=0, le=1, description="Share of requests that are traced, where the caller has not decided."
    )
    version: str = Field("0.1.0", description="Shown in build information and answers.")

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment, then the files of FOREWORD_SECRETS_DIR, each named like its variable.

        Overrides win (tests and the composition root use them).
        """
        folder = Path(os.environ.get("FOREWORD_SECRETS_DIR", ""))
        secrets: dict[str, Any] = {"_secrets_dir": folder} if folder.name and folder.is_dir() else {}
        try:
            return cls(**secrets, **overrides)
        except ValidationError as error:
            lines = []
            for mistake in error.errors():
                field = ".".join(str(part) for part in mistake["loc"]) or "settings"
                name = cls.environment_name(field)
                lines.append(f"  {name}: {mistake['msg']}")
            raise SettingsInvalid("These settings are wrong:\n" + "\n".join(sorted(lines))) from error

    @classmethod
    def environment_name(cls, field: str) -> str:
        info = cls.model_fields.get(field)
        alias = info.validation_alias if info is not None else None
        if isinstance(alias, str):
            return alias
        known = info is not None
        return f"FOREWORD_{field.upper()}" if known else field
