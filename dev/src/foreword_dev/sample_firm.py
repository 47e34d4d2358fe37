"""Loads the sample firm through the public API, as a content team and a website would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from foreword_client import Client

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLE = REPOSITORY / "sample"
_BATCH = 2_000


class SampleMissing(Exception):
    """The sample folder is not beside this package."""


def _module(name: str) -> ModuleType:
    if not SAMPLE.is_dir():
        raise SampleMissing(f"The sample firm is not at {SAMPLE}; set FOREWORD_SAMPLE=0 to run without it.")
    if str(REPOSITORY) not in sys.path:
        sys.path.insert(0, str(REPOSITORY))
    spec = spec_from_file_location(f"sample.{name}", SAMPLE / f"{name}.py")
    if spec is None or spec.loader is None:
        raise SampleMissing(f"{SAMPLE / name}.py cannot be read.")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def load(client: Client, now: datetime, on_progress: Callable[[str, int, int], None]) -> list[str]:
    """Send all assets and signals; `on_progress(what, done, all)`. → what failed, in words."""
    assets: list[dict[str, Any]] = _module("assets").load_assets(SAMPLE, now)
    failures: list[str] = []
    records = [asset for asset in assets if "file" not in asset]
    files = [asset for asset in assets if "file" in asset]
    lines = [orjson.dumps(record) for record in records]
    failures += _failures(client.import_lines(lines), "id")
    on_progress("assets", len(records), len(assets))
    for start in range(0, len(files), 8):
        block = files[start : start + 8]
        paths = {asset["file"].name: asset for asset in block}
        stated = {name: {k: v for k, v in asset.items() if k != "file"} for name, asset in paths.items()}
        contents = [(name, asset["file"].read_bytes()) for name, asset in paths.items()]
        failures += _failures(client.upload(contents, fields=stated), "filename")
        on_progress("assets", len(records) + start + len(block), len(assets))
    events = [orjson.dumps(event) for event in _module("signals").generate(now)]
    for start in range(0, len(events), _BATCH):
        client.send_events(events[start : start + _BATCH])
        on_progress("signals", min(len(events), start + _BATCH), len(events))
    return failures


def _failures(results: list[dict[str, Any]], name: str) -> list[str]:
    return [f"{r.get(name)}: {r.get('detail')}" for r in results if r["result"] == "failed"]


def sample_buyers() -> list[dict[str, str]]:
    """Three buyers at different stages, for the demonstration."""
    buyers: list[dict[str, str]] = orjson.loads((SAMPLE / "buyers.json").read_bytes())
    return buyers


def start_of_today() -> datetime:
    """The sample's ages count back from here, so that loading it twice in a day is loading it once."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
