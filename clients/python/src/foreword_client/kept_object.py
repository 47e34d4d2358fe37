"""A small JSON object on disk, by which a stopped command goes on: read leniently, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson


def read_object(path: Path) -> dict[str, Any]:
    """What is kept there; empty when there is nothing yet, or nothing that can be read."""
    try:
        kept = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return kept if isinstance(kept, dict) else {}


def write_object(path: Path, value: Mapping[str, Any]) -> None:
    """Whoever reads meanwhile finds the old one or the new one, never half of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_bytes(orjson.dumps(value))
    draft.replace(path)
