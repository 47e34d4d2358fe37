"""What every alert says of itself, and where its runbook stands."""

from __future__ import annotations

from pathlib import Path

RUNBOOKS = Path(__file__).resolve().parent.parent / "runbooks"
# A firm that keeps its runbooks elsewhere replaces this one line and generates anew.
BASE_URL = "https://foreword.example.com/runbooks"


def alert_annotations(alert: str, *, summary: str, description: str) -> dict[str, str]:
    return {
        "summary": summary,
        "description": description,
        "runbook_url": f"{BASE_URL}/{alert}.md",
    }
