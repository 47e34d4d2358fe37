"""yamllint, hadolint, shellcheck and checkov have nothing to say, and would say something of a mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from k8s.rendered_manifests import COMBINATIONS, OVERLAYS, REPOSITORY, combination_text, overlay_text

DOCKERFILES = sorted(REPOSITORY.glob("services/*/Dockerfile"))
SCRIPTS = sorted(
    path
    for folder in ("scripts", ".ci", "tests/cluster")
    for path in (REPOSITORY / folder).iterdir()
    if path.is_file() and path.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
)
_BIN = Path(sys.executable).parent


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=REPOSITORY)


def test_yamllint() -> None:
    done = _run(_BIN / "yamllint", "--strict", "-c", ".yamllint.yaml", "k8s")
    assert done.returncode == 0, done.stdout


def test_hadolint() -> None:
    assert len(DOCKERFILES) == 3
    done = _run(_BIN / "hadolint", *DOCKERFILES)
    assert done.returncode == 0, done.stdout


def test_shellcheck() -> None:
    assert len(SCRIPTS) >= 5
    done = _run(_BIN / "shellcheck", *SCRIPTS)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def checkov() -> Path:
    path = REPOSITORY / ".tools" / "checkov" / "bin" / "checkov"
    if not path.exists():
        if os.environ.get("CI"):
            raise RuntimeError("continuous integration must have checkov: scripts/get-checkov")
        pytest.skip("checkov is not installed; scripts/get-checkov gets it")
    return path


def _judged(checkov: Path, folder: Path) -> dict[str, list[dict[str, str]]]:
    done = _run(checkov, "--config-file", ".checkov.yaml", "--skip-download", "-d", folder, "-o", "json")
    found = json.loads(done.stdout)
    assert found["summary"]["parsing_errors"] == 0
    return {"passed": found["results"].get("passed_checks", []), "failed": found["results"]["failed_checks"]}


def test_checkov(checkov: Path, tmp_path: Path) -> None:
    for overlay in OVERLAYS:
        (tmp_path / f"{overlay}.yaml").write_text(overlay_text(overlay))
    (tmp_path / "everything.yaml").write_text(combination_text(COMBINATIONS[-1]))
    (tmp_path / "broken.yaml").write_text(
        overlay_text("dev").replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")
    )
    judged = _judged(checkov, tmp_path)
    said = {
        (Path(check["file_path"]).name, check["check_id"], check["resource"]) for check in judged["failed"]
    }
    assert {one for one in said if one[0] != "broken.yaml"} == set()
    assert any(one[:2] == ("broken.yaml", "CKV_K8S_20") for one in said), "or it looks at nothing"
