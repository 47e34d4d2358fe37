"""From the cells of a CSV row to the fields of an asset: names matched forgivingly, lists read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SYNONYMS: Mapping[str, str] = {
    "asset_id": "id",
    "external_id": "id",
    "link": "url",
    "href": "url",
    "permalink": "url",
    "address": "url",
    "adresse": "url",
    "name": "title",
    "headline": "title",
    "titel": "title",
    "überschrift": "title",
    "description": "summary",
    "abstract": "summary",
    "excerpt": "summary",
    "teaser": "summary",
    "beschreibung": "summary",
    "zusammenfassung": "summary",
    "text": "body",
    "content": "body",
    "full_text": "body",
    "inhalt": "body",
    "lang": "language",
    "locale": "language",
    "sprache": "language",
    "content_type": "type",
    "format": "type",
    "typ": "type",
    "art": "type",
    "topic": "topics",
    "tags": "topics",
    "keywords": "topics",
    "themen": "topics",
    "thema": "topics",
    "persona": "personas",
    "zielgruppe": "personas",
    "zielgruppen": "personas",
    "industry": "industries",
    "branche": "industries",
    "branchen": "industries",
    "region": "regions",
    "regionen": "regions",
    "stage": "stages",
    "buying_stage": "stages",
    "funnel_stage": "stages",
    "phase": "stages",
    "phasen": "stages",
    "published": "publish_at",
    "published_at": "publish_at",
    "publish_date": "publish_at",
    "date": "publish_at",
    "datum": "publish_at",
    "veröffentlicht": "publish_at",
    "expires": "expires_at",
    "expiry_date": "expires_at",
    "image": "image_url",
    "image_link": "image_url",
    "thumbnail": "image_url",
    "bild": "image_url",
}
FIELDS = frozenset(
    {
        "id",
        "title",
        "summary",
        "body",
        "url",
        "type",
        "language",
        "topics",
        "personas",
        "industries",
        "regions",
    }
    | {"stages", "status", "publish_at", "expires_at", "image_url", "equivalent_to", "metadata"}
)
LIST_FIELDS = frozenset({"topics", "personas", "industries", "regions"})

_STAGE = re.compile(r"\s*(.+?)\s*(?:[:=]\s*([0-9.,]+)\s*(%?)\s*)?")


class CellUnreadable(ValueError):
    """A cell does not hold what its column needs; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Header:
    """`fields[i]` is the field of column i, None for a column left out; `duplicates` tells why it was."""

    fields: tuple[str | None, ...]
    duplicates: tuple[str, ...]


def read_header(cells: Sequence[str]) -> Header:
    """Match header cells to field names; empty cells at the end (as spreadsheets write them) do not count."""
    names = [_normalised(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    # The exact name has the better right to a field than its synonym, wherever it stands.
    exact = {name for name in names if name in FIELDS}
    fields: list[str | None] = []
    taken: dict[str, str] = {}
    duplicates: list[str] = []
    for name, cell in zip(names, cells, strict=False):
        written = cell.strip()
        field = name if name in FIELDS else SYNONYMS.get(name, name)
        if not field:
            fields.append(None)
        elif field in taken or (field != name and field in exact):
            other = taken.get(field, field)
            duplicates.append(
                f"The columns “{other}” and “{written}” both mean {field}; “{written}” is left out."
            )
            fields.append(None)
        else:
            taken[field] = written
            fields.append(field)
    return Header(tuple(fields), tuple(duplicates))


def _normalised(cell: str) -> str:
    return re.sub(r"[\s_.-]+", "_", cell.strip().strip("\ufeff*").strip().lower()).strip("_")


def read_cells(header: Header, cells: Sequence[str]) -> dict[str, object]:
    """The record of one row, without its empty cells; raises CellUnreadable."""
    record: dict[str, object] = {}
    for field, cell in zip(header.fields, cells, strict=False):
        value = cell.strip()
        if field is None or not value:
            continue
        if field in LIST_FIELDS:
            record[field] = _list(value)
        elif field == "stages":
            record[field] = read_stages(value)
        elif field == "metadata":
            record[field] = _object(value, "metadata")
        else:
            record[field] = value
    return record


def _list(value: str) -> list[str]:
    """Parted by the first of | ; , that occurs, or a JSON array; empty and repeated values are dropped."""
    if value.startswith("["):
        try:
            loaded = json.loads(value)
        except (ValueError, RecursionError):
            loaded = None
        if isinstance(loaded, list) and all(isinstance(each, str) for each in loaded):
            return list(dict.fromkeys(each.strip() for each in loaded if each.strip()))
    separator = next((sign for sign in "|;," if sign in value), None)
    parts = value.split(separator) if separator else [value]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def read_stages(value: str) -> dict[str, float]:
    """`awareness:0.7|decision:0.3`, `awareness=70%; decision=30%`, a bare name (weight 1), or JSON."""
    if value.startswith("{"):
        loaded = _object(value, "stages")
        weights = {name: weight for name, weight in loaded.items() if isinstance(weight, int | float)}
        if len(weights) != len(loaded) or any(isinstance(weight, bool) for weight in weights.values()):
            raise CellUnreadable("stages: every weight must be a number.")
        return {name: float(weight) for name, weight in weights.items()}
    separator = next((sign for sign in "|;," if sign in value), None)
    stages: dict[str, float] = {}
    for part in value.split(separator) if separator else [value]:
        if not part.strip():
            continue
        match = _STAGE.fullmatch(part)
        number = match.group(2) if match else None
        try:
            weight = float(number.replace(",", ".")) if number else 1.0
        except ValueError:
            match = None
            weight = 0.0
        if match is None or match.group(1)[0] in ":=":
            raise CellUnreadable(f"stages: “{part.strip()[:40]}” is not like awareness:0.7.")
        stages[match.group(1)] = weight / 100 if match.group(3) else weight
    return stages


def _object(value: str, field: str) -> dict[str, object]:
    try:
        loaded = json.loads(value)
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict):
        raise CellUnreadable(f"{field}: not a JSON object.")
    return loaded
