"""Every test that docs/guarantees.md calls a proof exists under that name in that file."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
_PROOF = re.compile(r"\[`?([^\]`]+)`?\]\((\.\./tests/[^)]+)\)")


def test_every_proof_exists() -> None:
    proofs = _PROOF.findall((DOCS / "guarantees.md").read_text())
    assert len(proofs) > 20
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
