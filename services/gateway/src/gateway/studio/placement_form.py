"""The form of a placement's rules: read into what the recommender takes, and filled from what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.studio.catalogue import Document
from servicekit.errors import Unprocessable
from servicekit.whole_numbers import natural

FIELDS = ("type", "topics", "personas", "industries", "regions", "language", "stage")
_IDS, _JSON = "ids", "json"
_PLAIN = ("pin", "static")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of boosts, buries, exclusions or quotas, as the form shows it."""

    field: str = ""
    value: str = ""
    number: str = ""


def lines(text: str) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def rules_of(form: Any) -> Document:
    """What the form says, as the body of PUT. Raises `Unprocessable` when a number is none."""
    rules: Document = {name: lines(form.get(name, "")) for name in _PLAIN}
    if name := form.get("name", "").strip():
        rules["name"] = name
    for kind, number in (
        ("boost", "strength"),
        ("bury", "strength"),
        ("quotas", "at_most"),
        ("exclude", None),
    ):
        rules[kind] = [_target(row, number) for row in _rows_in(form, kind) if row.value]
    if (most := _whole(form.get("max_per_type", ""), "The most of one type")) is not None:
        rules["max_per_type"] = most
    if (shows := _whole(form.get("cap_shows", ""), "The cap")) is not None:
        rules["frequency_cap"] = {"shows": shows, "days": _number(form.get("cap_days") or "30", "The rest")}
    return rules


def rows_of(rules: Document, kind: str) -> list[Row]:
    """What is stored, and room for one more."""
    number = {"boost": "strength", "bury": "strength", "quotas": "at_most"}.get(kind)
    found = []
    for target in rules.get(kind) or ():
        field, value = _field_and_value(target)
        found.append(Row(field, value, "" if number is None else f"{target.get(number, 1):g}"))
    return [*found, Row()]


def _rows_in(form: Any, kind: str) -> list[Row]:
    columns: Sequence[list[str]] = [form.getlist(f"{kind}_{part}") for part in ("field", "value", "number")]
    longest = max(map(len, columns), default=0)
    padded = [[*column, *[""] * (longest - len(column))] for column in columns]
    return [Row(f.strip(), v.strip(), n.strip()) for f, v, n in zip(*padded, strict=True)]


def _target(row: Row, number: str | None) -> Document:
    values = [part.strip() for part in row.value.split(",") if part.strip()]
    if row.field == _JSON:
        try:
            target: Document = orjson.loads(row.value)
        except orjson.JSONDecodeError as error:
            raise Unprocessable("A rule that was written as JSON is not JSON any more.") from error
    elif row.field in FIELDS:
        target = {"filter": {"must": [{"field": row.field, "any_of": values}]}}
    else:
        target = {"asset_ids": values}
    if number == "at_most":
        target[number] = _whole(row.number or "1", "A quota")
    elif number is not None:
        target[number] = _number(row.number or "1", "A strength")
    return target


def _field_and_value(target: Any) -> tuple[str, str]:
    if isinstance(target, str):
        return _IDS, target
    ids, tree = target.get("asset_ids") or [], target.get("filter")
    if not tree:
        return _IDS, ", ".join(ids)
    must = tree.get("must") or []
    if not ids and list(tree) == ["must"] and len(must) == 1 and set(must[0]) == {"field", "any_of"}:
        return str(must[0]["field"]), ", ".join(map(str, must[0]["any_of"]))
    return _JSON, orjson.dumps({k: v for k, v in target.items() if k in ("asset_ids", "filter")}).decode()


def _whole(text: str, what: str) -> int | None:
    if not text.strip():
        return None
    number = natural(text.strip())
    if number is None:
        raise Unprocessable(f"{what} is a whole number.")
    return number


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Unprocessable(f"{what} is a number.") from error
