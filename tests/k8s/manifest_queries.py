"""What the policy tests ask of rendered manifests: of a kind, selected by labels, ports, settings."""

from __future__ import annotations

from typing import Any

from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from k8s.rendered_manifests import COMBINATIONS, OVERLAYS, Manifest, containers, template_of
from recommender.settings import RecommenderSettings
from servicekit.settings import Settings

# The overlays, and each database with everything that may be added to it.
CASES = (*OVERLAYS, *(c for c in COMBINATIONS if "valkey" in c and "ingress" in c), COMBINATIONS[-1])
SETTINGS: dict[str, type[Settings]] = {
    "gateway": GatewaySettings,
    "recommender": RecommenderSettings,
    "embedder": EmbedderSettings,
}


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in kinds]


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return [one for one in manifests if template_of(one) is not None]


def pod_of(workload: Manifest) -> Manifest:
    template = template_of(workload)
    assert template is not None
    return dict(template["spec"])


def pod_labels(workload: Manifest) -> dict[str, str]:
    if workload["kind"] == "Cluster":  # its operator makes the pods, and labels them so
        return {"cnpg.io/cluster": workload["metadata"]["name"]}
    template = template_of(workload)
    assert template is not None
    return dict(template["metadata"]["labels"])


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    if any(rule["operator"] != "In" for rule in among):
        raise ValueError("only `In` is used")
    return all(labels.get(k) == v for k, v in wanted) and all(
        labels.get(rule["key"]) in rule["values"] for rule in among
    )


def selected(manifests: list[Manifest], selector: Manifest) -> list[Manifest]:
    pods = [*workloads(manifests), *of_kind(manifests, "Cluster")]
    return [one for one in pods if selects(selector, pod_labels(one))]


def ports_of(workload: Manifest) -> dict[str, int]:
    if workload["kind"] == "Cluster":
        return {"postgres": 5432, "status": 8000, "metrics": 9187}
    found = containers([workload])[0].get("ports", [])
    return {port["name"]: port["containerPort"] for port in found}


def environment_of(manifests: list[Manifest], name: str) -> dict[str, str]:
    (found,) = [m for m in of_kind(manifests, "ConfigMap") if m["metadata"]["name"] == f"{name}-settings"]
    return dict(found["data"])


def walk(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(leaf for one in value.values() for leaf in walk(one))]
    if isinstance(value, list):
        return [leaf for one in value for leaf in walk(one)]
    return [value]


def database_clients(manifests: list[Manifest]) -> set[str]:
    """Whoever mounts the URL of the database."""
    return {
        one["metadata"]["name"].partition("-v0")[0]
        for one in workloads(manifests)
        if any(
            item["path"] == "DATABASE_URL"
            for volume in pod_of(one).get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
            for item in source["secret"].get("items", [])
        )
    }
