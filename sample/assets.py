"""Reads the sample firm's content as a content team keeps it and gives asset records for the wire.

Four forms live under ``content/``: Markdown with front matter, one CSV, and HTML, DOCX and PDF files whose
fields stand in ``manifest.json``. Ages are kept in days so that the catalogue is as old on every day.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

SAMPLE_ROOT = Path(__file__).resolve().parent
LIST_FIELDS = ("topics", "personas", "industries", "regions")
PASSED_FIELDS = ("id", "title", "summary", "url", "type", "language", "image_url", "equivalent_to", "stages")


class SampleContentError(ValueError):
    """A content file of the sample firm cannot be read; the message names the file."""


def load_assets(root: Path, now: datetime) -> list[dict[str, Any]]:
    """All sample assets, ordered by id.

    ``root`` is the ``sample`` folder, ``now`` the moment the ages count back from (timezone-aware, UTC).
    Each record has the fields of the public contract. Markdown and CSV assets carry ``body``; HTML, DOCX and
    PDF assets carry ``file`` (a ``Path``) in its place, to be uploaded and read by the catalogue itself.
    """
    content = root / "content"
    raw = [*_markdown(content / "articles"), *_csv(content / "assets.csv"), *_manifest(content)]
    return sorted((_wire(fields, now) for fields in raw), key=lambda asset: str(asset["id"]))


def split_front_matter(path: Path) -> tuple[dict[str, Any], str]:
    """The YAML front matter of a Markdown file, and the text below it."""
    text = path.read_text(encoding="utf-8")
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        raise SampleContentError(f"{path}: no front matter between two lines of ---")
    try:
        fields = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise SampleContentError(f"{path}: front matter is not YAML") from error
    if not isinstance(fields, dict):
        raise SampleContentError(f"{path}: front matter is not a mapping")
    return fields, parts[2].strip()


def _markdown(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.md")):
        fields, body = split_front_matter(path)
        yield {**fields, "body": body}


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            fields: dict[str, Any] = {name: value for name, value in row.items() if value}
            for name in LIST_FIELDS:
                fields[name] = fields[name].split("|") if name in fields else []
            yield fields


def _manifest(content: Path) -> Iterator[dict[str, Any]]:
    path = content / "manifest.json"
    if not path.exists():
        return
    for entry in json.loads(path.read_text(encoding="utf-8")):
        yield {**entry, "file": content / entry["file"]}


def _wire(fields: dict[str, Any], now: datetime) -> dict[str, Any]:
    asset: dict[str, Any] = {name: fields[name] for name in PASSED_FIELDS if name in fields}
    asset |= {name: list(fields.get(name, ())) for name in LIST_FIELDS}
    asset["status"] = "approved"
    asset["publish_at"] = _rfc3339(now - timedelta(days=int(fields["published_days_ago"])))
    if "expires_in_days" in fields:
        asset["expires_at"] = _rfc3339(now + timedelta(days=int(fields["expires_in_days"])))
    asset |= {name: fields[name] for name in ("body", "file") if name in fields}
    return asset


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
