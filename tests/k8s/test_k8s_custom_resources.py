"""Kinds that operators bring are held to the operators' own schemas, as npm packages carry them.

A cluster drops a field that a schema does not know, without a word. So manifests are checked twice: by the
schemas' validators (what is needed, ranges, patterns), and by TypeScript against their types (every field).
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from k8s.manifest_queries import CASES
from k8s.rendered_manifests import COMBINATIONS, CUSTOM_KINDS, Manifest, manifests_of

FOLDER = Path(__file__).with_name("custom_resources")
PACKAGES = {
    "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
    "external-secrets.io": "@kubernetes-models/external-secrets",
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
    "postgresql.cnpg.io": "@kubernetes-models/cloudnative-pg",
}
_BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def _run(*command: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    # npm runs the node beside it.
    environment = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}"}
    return subprocess.run(
        [str(part) for part in command],
        input=given,
        capture_output=True,
        text=True,
        timeout=240,
        cwd=FOLDER,
        env=environment,
    )


@pytest.fixture(scope="module")
def schemas() -> Path:
    """The npm packages of package-lock.json, put there by npm itself. → their folder."""
    made = FOLDER / "node_modules" / ".package-lock.json"
    if not made.exists() or made.stat().st_mtime < (FOLDER / "package-lock.json").stat().st_mtime:
        done = _run(_BIN / "npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund")
        assert done.returncode == 0, done.stderr
        made.touch()
    return FOLDER / "node_modules"


@pytest.fixture(scope="module")
def custom_resources() -> list[Manifest]:
    """Each that there is, once: of the overlays, of everything together, and of the other way in."""
    other_way = next(c for c in COMBINATIONS if {"gateway-api", "monitoring"} <= set(c))
    found = {
        json.dumps(manifest, sort_keys=True): manifest
        for case in (*CASES, other_way)
        for manifest in manifests_of(case)
        if manifest["kind"] in CUSTOM_KINDS
    }
    return list(found.values())


def _complaints(manifests: Sequence[Manifest]) -> list[str | None]:
    done = _run(_BIN / "node", "validate.mjs", given=json.dumps([PACKAGES, list(manifests)]))
    assert done.returncode == 0, done.stderr
    found: list[str | None] = json.loads(done.stdout)
    return found


def _typed(manifests: Sequence[Manifest], schemas: Path, name: str) -> str:
    """What TypeScript says of the manifests written down as literals of their types."""
    lines = []
    for number, manifest in enumerate(manifests):
        group, kind = manifest["apiVersion"].partition("/")[0], manifest["kind"]
        model = f"{PACKAGES[group]}/{manifest['apiVersion']}/{kind}"
        lines.append(f'import type {{ I{kind} as Kind{number} }} from "{model}";')
        lines.append(f"export const of{number}: Kind{number} = {json.dumps(manifest)};")
    file = schemas / f"{name}.mts"
    file.write_text("\n".join(lines))
    options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022")
    return _run(_BIN / "node", schemas / "typescript" / "bin" / "tsc", *options, file).stdout


def test_every_kind_of_an_operator_is_looked_at(custom_resources: list[Manifest]) -> None:
    kinds = {manifest["kind"] for manifest in custom_resources}
    assert kinds == CUSTOM_KINDS
    assert {manifest["apiVersion"].partition("/")[0] for manifest in custom_resources} == set(PACKAGES)


def test_the_operators_schemas_take_them(custom_resources: list[Manifest], schemas: Path) -> None:
    said = _complaints(custom_resources)
    assert said == [None] * len(custom_resources)
    assert _typed(custom_resources, schemas, "ours") == ""


def test_a_mistake_would_be_seen(custom_resources: list[Manifest], schemas: Path) -> None:
    misspelt = [{**manifest, "spec": {**manifest["spec"], "nonsense": 1}} for manifest in custom_resources]
    assert _typed(misspelt, schemas, "misspelt").count("'\"nonsense\"' does not exist in type") == len(
        misspelt
    )
    emptied = copy.deepcopy(custom_resources)
    for manifest in emptied:
        manifest["spec"] = "nothing"
    assert all(said is not None and "must be object" in said for said in _complaints(emptied))
