"""Prints the settings of every service as the Markdown table that docs/operations.md holds."""

from __future__ import annotations

from pydantic_core import PydanticUndefined

from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from recommender.settings import RecommenderSettings
from servicekit.settings import Settings

SERVICES: tuple[tuple[str, type[Settings]], ...] = (
    ("all", Settings),
    ("gateway", GatewaySettings),
    ("recommender", RecommenderSettings),
    ("embedder", EmbedderSettings),
)


def table() -> str:
    """One row a setting: environment name, service, default, meaning."""
    rows = ["| environment | service | default | meaning |", "|---|---|---|---|"]
    for service, settings in SERVICES:
        for field, info in settings.model_fields.items():
            if settings is not Settings and field in Settings.model_fields:
                continue
            needed = info.default is PydanticUndefined and info.default_factory is None
            default = "needed" if needed else f"`{info.default}`" if info.default not in (None, "") else "–"
            meaning = (info.description or "").replace("|", "\\|")
            rows.append(f"| `{settings.environment_name(field)}` | {service} | {default} | {meaning} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
