"""The people and companies of the sample log, and how their story goes, read from ``accounts.yaml``."""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from sample.assets import load_assets

EVENTS = ("opened", "won", "lost")
LANGUAGES = {"dach": "de", "uki": "en", "north-america": "en"}


@dataclass(frozen=True, slots=True)
class Person:
    """One member of a buying group; ``position`` 0 is the champion, later ones join later."""

    user_id: str
    name: str
    email: str
    title: str
    persona: str
    position: int


@dataclass(frozen=True, slots=True)
class Phase:
    """What an account was doing between two ages, in days ago (``begins`` is the larger)."""

    name: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Account:
    """A buying company with its story. ``moments`` are opportunity events: name and days ago."""

    account_id: str
    name: str
    industry: str
    region: str
    employees: int
    kind: str
    amount: int
    phases: tuple[Phase, ...]
    moments: tuple[tuple[str, float], ...]
    people: tuple[Person, ...]

    @property
    def language(self) -> str:
        """The language its people read first."""
        return LANGUAGES[self.region]


@dataclass(frozen=True, slots=True)
class Reading:
    """An asset as a reader meets it, with our own idea of its stage."""

    asset_id: str
    title: str
    url: str
    kind: str
    stage: str
    language: str
    topics: tuple[str, ...]
    personas: tuple[str, ...]
    industries: tuple[str, ...]
    regions: tuple[str, ...]
    published_at: str


def load_accounts(root: Path) -> list[Account]:
    """All accounts in the order of the file."""
    rows = yaml.safe_load((root / "accounts.yaml").read_text(encoding="utf-8"))
    accounts = []
    for row in rows:
        phases, moments = _arc(row["arc"])
        accounts.append(
            Account(
                account_id=row["id"],
                name=row["name"],
                industry=row["industry"],
                region=row["region"],
                employees=row["employees"],
                kind=row.get("kind", "buyer"),
                amount=row.get("amount", 0),
                phases=phases,
                moments=moments,
                people=tuple(_person(line, row["id"], number) for number, line in enumerate(row["people"])),
            )
        )
    return accounts


def load_readings(root: Path, now: datetime) -> list[Reading]:
    """All assets with the stage that ``labels.csv`` gives them."""
    with (root / "labels.csv").open(encoding="utf-8", newline="") as lines:
        stages = {row["id"]: row["stage"] for row in csv.DictReader(lines)}
    return [
        Reading(
            asset_id=asset["id"],
            title=asset["title"],
            url=asset["url"],
            kind=asset["type"],
            stage=stages[asset["id"]],
            language=asset["language"],
            topics=tuple(asset["topics"]),
            personas=tuple(asset["personas"]),
            industries=tuple(asset["industries"]),
            regions=tuple(asset["regions"]),
            published_at=asset["publish_at"],
        )
        for asset in load_assets(root, now)
    ]


def _arc(text: str) -> tuple[tuple[Phase, ...], tuple[tuple[str, float], ...]]:
    steps = [(name, float(days)) for days, name in (step.split() for step in text.split(", "))]
    moments = tuple(step for step in steps if step[0] in EVENTS)
    renamed = {"won": "customer", "lost": "silent"}
    turns = [(renamed.get(name, name), days) for name, days in steps if name != "opened"]
    ends = [days for _, days in turns[1:]] + [0.0]
    return tuple(Phase(name, begins, end) for (name, begins), end in zip(turns, ends, strict=True)), moments


def _person(line: str, account_id: str, position: int) -> Person:
    name, title, persona = (part.strip() for part in line.split("|"))
    local = ".".join(_plain(part) for part in name.split())
    return Person(local, name, f"{local}@{account_id}.example", title, persona, position)


def _plain(word: str) -> str:
    word = word.lower()
    for sign, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        word = word.replace(sign, letters)
    return re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", word))
