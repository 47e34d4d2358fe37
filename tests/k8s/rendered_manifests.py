"""The manifests as `kubectl kustomize` gives them: the overlays, and combinations of components."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[2]
K8S = REPOSITORY / "k8s"
OVERLAYS = ("dev", "production", "production-cnpg")
_EXTRAS = ("monitoring", "valkey", "hpa-custom-metrics", "shared-snapshots", "email-batch", "tracing")
# Those that add readers of the database come before it: it says where they find its URL.
_BEFORE = ("learning",)
# Every database with every way in, once with all that may be added and once bare.
_EDGES: tuple[tuple[str, ...], ...] = ((), ("ingress",), ("gateway-api",))
COMBINATIONS: tuple[tuple[str, ...], ...] = (
    *(
        (*(_BEFORE if extras else ()), database, *edge, *extras)
        for database in ("postgres-embedded", "postgres-external", "postgres-cnpg")
        for edge in _EDGES
        for extras in ((), _EXTRAS)
    ),
    ("postgres-external", "external-secrets"),
    (*_BEFORE, "postgres-external", "external-secrets", *_EXTRAS, "production"),
)
# What the schemas of Kubernetes itself do not know.
CUSTOM_KINDS = {
    "Cluster",
    "ScheduledBackup",
    "ServiceMonitor",
    "PrometheusRule",
    "HTTPRoute",
    "ExternalSecret",
}
_HASH = re.compile(r"\b((?:gateway|recommender|embedder)-settings)-[a-z0-9]{10}\b")


def tool(name: str) -> str:
    """The path of a tool. Continuous integration installs all of them; elsewhere tests skip without it."""
    own = REPOSITORY / ".tools" / "bin" / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            raise RuntimeError(f"{name} is not installed, and continuous integration must have it")
        pytest.skip(f"{name} is not installed; scripts/get-{name} gets it")
    return found


@functools.cache
def text_of(folder: Path) -> str:
    done = subprocess.run(
        [tool("kubectl"), "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"KUBECONFIG": "/dev/null", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), f"kustomize warns: {done.stderr}"
    return done.stdout


def overlay_text(name: str) -> str:
    return text_of(K8S / "overlays" / name)


@functools.cache
def combination_text(components: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory(prefix="foreword-k8s-") as folder:
        there = os.path.relpath(K8S, os.path.realpath(folder))
        document = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "foreword",
            "resources": [f"{there}/base"],
            "components": [f"{there}/components/{name}" for name in components],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return text_of(Path(folder).resolve())


@functools.cache
def manifests_of(case: str | tuple[str, ...]) -> tuple[Manifest, ...]:
    """Of an overlay by its name, or of a combination. The hashes in the names of ConfigMaps are taken out."""
    text = overlay_text(case) if isinstance(case, str) else combination_text(case)
    return tuple(one for one in yaml.safe_load_all(_HASH.sub(r"\1", text)) if one is not None)


def label(case: str | tuple[str, ...]) -> str:
    return case if isinstance(case, str) else "+".join(case)


def template_of(manifest: Manifest) -> Manifest | None:
    """The pod template of a workload."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template: Manifest | None = spec.get("template") if isinstance(spec, dict) else None
    return template if isinstance(template, dict) and "spec" in template else None


def containers(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Every container of every workload."""
    return [
        container
        for one in manifests
        if (template := template_of(one)) is not None
        for container in template["spec"]["containers"]
    ]
