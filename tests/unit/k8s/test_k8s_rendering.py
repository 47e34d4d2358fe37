"""The overlays render, and our small renderer agrees with kustomize itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.k8s.kustomize_rendering import Manifest, render

K8S = Path(__file__).resolve().parents[3] / "k8s"
_HASH = re.compile(r"(-settings)-[a-z0-9]{10}\b")


def _kustomize(folder: Path) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed, so that kustomize cannot judge our renderer")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"KUBECONFIG": "/dev/null", "PATH": "/usr/bin:/bin"},
    )
    if "components" in done.stderr and "unknown field" in done.stderr:
        pytest.skip("this kubectl is too old to know kustomize's components (1.21 or later does)")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Any]:
    return {(m["kind"], m["metadata"]["name"]): json.loads(json.dumps(m)) for m in manifests}


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_our_renderer_gives_what_kustomize_gives(overlay: str) -> None:
    judged = _by_name(list(yaml.safe_load_all(_HASH.sub(r"\1", _kustomize(K8S / "overlays" / overlay)))))
    ours = _by_name(render(K8S / "overlays" / overlay))
    assert set(ours) == set(judged)
    for key, manifest in judged.items():
        assert ours[key] == manifest, key


@pytest.mark.slow
def test_a_changed_setting_changes_the_name_that_pods_refer_to() -> None:
    text = _kustomize(K8S / "overlays" / "dev")
    hashed = re.findall(r"name: ((?:gateway|recommender|embedder)-settings-[a-z0-9]{10})", text)
    assert len(hashed) == 6, "three ConfigMaps and three references, all with their hash"
    assert len(set(hashed)) == 3


def test_an_unknown_kustomization_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("kind: Kustomization\nreplacements: []\n")
    with pytest.raises(ValueError, match="replacements"):
        render(tmp_path)


@pytest.mark.parametrize("path", sorted(K8S.rglob("*.yaml")), ids=lambda p: str(p.relative_to(K8S)))
def test_every_file_is_taken_in_by_a_kustomization(path: Path) -> None:
    if path.name == "kustomization.yaml":
        return
    document = yaml.safe_load((path.parent / "kustomization.yaml").read_text())
    taken = [*document.get("resources", []), *(p.get("path") for p in document.get("patches", []))]
    assert path.name in taken
