"""The service level objectives, as `slos.yaml` states them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

SLO_FILE = Path(__file__).with_name("slos.yaml")


class ObjectiveInvalid(ValueError):
    """`slos.yaml` states something that cannot be; the message says where."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise: at least `objective` (a ratio) of the events are good over the window."""

    name: str
    title: str
    objective: float
    alert: str
    minimum_events: int
    description: str
    total: str
    bad: str

    @property
    def allowed_ratio(self) -> float:
        """The error budget: which share of the events may be bad."""
        return round(1.0 - self.objective, 9)

    def total_over(self, window: str) -> str:
        return Template(self.total).substitute(window=window)

    def bad_over(self, window: str) -> str:
        return Template(self.bad).substitute(window=window)


def read(path: Path = SLO_FILE) -> tuple[Objective, ...]:
    """Raises `ObjectiveInvalid`."""
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if document.get("window") != "30d":
        raise ObjectiveInvalid("window: the burn rates are reckoned for 30d")
    found = tuple(_objective(entry) for entry in document["objectives"])
    for key in ("name", "alert"):
        values = [getattr(one, key) for one in found]
        if len(set(values)) != len(values):
            raise ObjectiveInvalid(f"{key}: two objectives share one")
    return found


def _objective(entry: dict[str, Any]) -> Objective:
    try:
        found = Objective(**{key: _one_line(value) for key, value in entry.items()})
    except TypeError as error:
        raise ObjectiveInvalid(f"{entry.get('name', '?')}: {error}") from error
    if not 0.5 <= found.objective < 1.0:
        raise ObjectiveInvalid(f"{found.name}: an objective lies between 0.5 and 1")
    if not re.fullmatch(r"Foreword[A-Z][A-Za-z]+", found.alert):
        raise ObjectiveInvalid(f"{found.name}: an alert is named Foreword…, in capitals and small letters")
    for field in (found.total, found.bad):
        if "$window" not in field:
            raise ObjectiveInvalid(f"{found.name}: `total` and `bad` say [$window]")
    return found


def _one_line(value: object) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value
