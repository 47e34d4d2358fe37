"""As much of kustomize as Foreword's manifests use, so that they can be checked where there is no kubectl.

A field that is not understood raises, rather than being passed over. Where kubectl is installed, a test
compares the two.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

_NAMESPACELESS = {"Namespace"}


def render(folder: Path) -> list[Manifest]:
    """→ the manifests of an overlay, as `kubectl kustomize` would print them, but for the hashes in names."""
    steps: dict[str, Callable[[list[Manifest], Any, Path], None]] = {
        "resources": _add_resources,
        "components": _add_components,
        "configMapGenerator": _generate_config_maps,
        "generatorOptions": lambda *_: None,
        "nameSuffix": _suffix_names,
        "patches": _patch,
        "labels": _label,
        "images": _set_images,
        "namespace": _set_namespace,
    }
    document = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = set(document) - set(steps) - {"apiVersion", "kind"}
    if unknown:
        raise ValueError(f"{folder}: this renderer knows nothing of {sorted(unknown)}")
    found: list[Manifest] = []
    generated = [
        m | {"options": document.get("generatorOptions")} for m in document.get("configMapGenerator", [])
    ]
    for field, step in steps.items():
        if field in document:
            step(found, generated if field == "configMapGenerator" else document[field], folder)
    return found


def _add_resources(found: list[Manifest], names: list[str], folder: Path) -> None:
    for name in names:
        path = (folder / name).resolve(strict=True)
        if path.is_dir():
            found.extend(render(path))
        else:
            found.extend(one for one in yaml.safe_load_all(path.read_text()) if one is not None)


def _add_components(found: list[Manifest], names: list[str], folder: Path) -> None:
    for name in names:
        found.extend(render((folder / name).resolve(strict=True)))


def _generate_config_maps(found: list[Manifest], maps: list[Any], folder: Path) -> None:
    for one in maps:
        data: dict[str, str] = {}
        for name in one.get("envs", []):
            lines = (folder / name).read_text().splitlines()
            data |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        for name in one.get("files", []):
            data[Path(name).name] = (folder / name).read_text()
        metadata: dict[str, Any] = {"name": one["name"]}
        if one["options"]:
            metadata["labels"] = dict(one["options"]["labels"])
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _suffix_names(found: list[Manifest], suffix: str, _: Path) -> None:
    for one in found:
        one["metadata"]["name"] += suffix


def _label(found: list[Manifest], rules: list[Any], _: Path) -> None:
    for rule in rules:
        if not rule.get("includeTemplates"):
            raise ValueError("labels are expected to reach the pods too")
        for one in found:
            one["metadata"].setdefault("labels", {}).update(rule["pairs"])
            template = one.get("spec", {}).get("template")
            if template is not None:
                template["metadata"].setdefault("labels", {}).update(rule["pairs"])


def _set_images(found: list[Manifest], images: list[Any], _: Path) -> None:
    for container in containers(found):
        for rule in images:
            name, _, tag = container["image"].partition(":")
            if name == rule["name"]:
                container["image"] = f"{rule.get('newName', name)}:{rule.get('newTag', tag)}"


def _set_namespace(found: list[Manifest], namespace: str, _: Path) -> None:
    for one in found:
        if one["kind"] not in _NAMESPACELESS:
            one["metadata"]["namespace"] = namespace


def _patch(found: list[Manifest], patches: list[Any], folder: Path) -> None:
    for patch in patches:
        if "path" in patch:
            wanted = yaml.safe_load((folder / patch["path"]).read_text())
            (target,) = [
                m
                for m in found
                if (m["kind"], m["metadata"]["name"]) == (wanted["kind"], wanted["metadata"]["name"])
            ]
            _merge(target, wanted)
            continue
        for one in (m for m in found if m["kind"] == patch["target"]["kind"]):
            for change in yaml.safe_load(patch["patch"]):
                _replace(one, change)


def _merge(target: Manifest, wanted: Manifest) -> None:
    """Lists are taken whole, as kustomize does for the fields that our patches change."""
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


def _replace(one: Manifest, change: Manifest) -> None:
    if change["op"] != "replace":
        raise ValueError(f"{change['op']}: this renderer only replaces")
    *way, last = change["path"].strip("/").split("/")
    place: Any = one
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if last not in place:
        raise ValueError(f"{change['path']}: there is nothing to replace")
    place[last] = change["value"]


def containers(manifests: list[Manifest]) -> list[Manifest]:
    """Every container of every workload."""
    return [
        container
        for one in manifests
        if "template" in one.get("spec", {})
        for container in one["spec"]["template"]["spec"]["containers"]
    ]
