"""Every overlay and every combination renders, and Kubernetes of the oldest and newest kind would take it."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from k8s.rendered_manifests import (
    COMBINATIONS,
    CUSTOM_KINDS,
    K8S,
    OVERLAYS,
    combination_text,
    label,
    manifests_of,
    overlay_text,
)

CASES = (*OVERLAYS, *COMBINATIONS)
# `lifecycle.preStop.sleep` is on from 1.30; the newest is the newest that the schemas know.
OLDEST, NEWEST = "1.30", "1.37"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_it_renders_and_every_name_is_there_once(case: str | tuple[str, ...]) -> None:
    names = [(m["kind"], m["metadata"]["name"]) for m in manifests_of(case)]
    assert len(names) == len(set(names))
    assert {"Namespace", "Deployment", "Job", "CronJob", "NetworkPolicy"} <= {kind for kind, _ in names}
    for manifest in manifests_of(case):
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "foreword", manifest["metadata"]["name"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_schemas_of_kubernetes_take_everything(version: str) -> None:
    unknown: set[str] = set()
    seen: set[str] = set()
    for case in CASES:
        for manifest in manifests_of(case):
            kind, text = manifest["kind"], yaml.safe_dump(manifest)
            if kind in CUSTOM_KINDS:
                unknown.add(kind)
            elif text not in seen:
                seen.add(text)
                kubernetes_validate.validate(manifest, version, strict=True)
    assert len(seen) > 40
    assert unknown <= CUSTOM_KINDS


def test_a_mistake_would_be_seen_by_the_schemas() -> None:
    (deployment,) = [m for m in manifests_of("dev") if m["metadata"]["name"] == "gateway"][:1]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**deployment, "spce": {}}, NEWEST, strict=True)


def test_a_changed_setting_changes_the_name_that_pods_refer_to() -> None:
    hashed = re.findall(
        r"name: ((?:gateway|recommender|embedder)-settings-[a-z0-9]{10})", overlay_text("dev")
    )
    assert len(set(hashed)) == 3
    for name in set(hashed):
        assert hashed.count(name) >= 2, "the ConfigMap and those that refer to it"
    bare = re.findall(r"gateway-settings-[a-z0-9]{10}", combination_text(("postgres-external",)))
    with_valkey = re.findall(
        r"gateway-settings-[a-z0-9]{10}", combination_text(("postgres-external", "valkey"))
    )
    assert len(set(bare)) == len(set(with_valkey)) == 1
    assert set(bare) != set(with_valkey)


@pytest.mark.parametrize("path", sorted(K8S.rglob("*.yaml")), ids=lambda p: str(p.relative_to(K8S)))
def test_every_file_is_taken_in_by_a_kustomization(path: Path) -> None:
    if path.name == "kustomization.yaml":
        return
    document = yaml.safe_load((path.parent / "kustomization.yaml").read_text())
    taken = [*document.get("resources", []), *(p.get("path") for p in document.get("patches", []))]
    assert path.name in taken


def test_every_component_is_in_a_combination() -> None:
    used = {name for combination in COMBINATIONS for name in combination}
    assert used == {folder.name for folder in (K8S / "components").iterdir()}
