"""Every test that a page calls a proof exists under that name in that file."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
_PROOF = re.compile(r"\[`?([^\]`]+)`?\]\((\.\./tests/[^)]+)\)")


@pytest.mark.parametrize(("page", "least"), [("guarantees.md", 20), ("security.md", 50), ("privacy.md", 10)])
def test_every_proof_exists(page: str, least: int) -> None:
    proofs = _PROOF.findall((DOCS / page).read_text())
    assert len(proofs) > least
    missing = [
        f"{name} in {path}"
        for name, path in proofs
        if not (DOCS / path).is_file()
        or (name.startswith("test_") and f"def {name}(" not in (DOCS / path).read_text())
    ]
    assert missing == []


def test_every_promise_has_a_proof() -> None:
    promises = (DOCS / "guarantees.md").read_text().split("## Promises")[1].split("## Not promised")[0]
    rows = [
        line for line in promises.splitlines() if line.startswith("| ") and not line.startswith("| promise")
    ]
    assert [row for row in rows if not _PROOF.search(row)] == []
