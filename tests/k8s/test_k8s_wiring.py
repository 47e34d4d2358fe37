"""Manifests fit one another and the services' code: selectors, ports, probes, URLs, what comes in."""

from __future__ import annotations

import re

import yaml
from flask import Flask

from k8s.manifest_queries import (
    SETTINGS,
    environment_of,
    of_kind,
    pod_labels,
    pod_of,
    ports_of,
    selected,
    selects,
    workloads,
)
from k8s.rendered_manifests import K8S, Manifest, containers
from servicekit import health


def test_selectors_match_the_pods_they_mean(manifests: list[Manifest]) -> None:
    for one in of_kind(manifests, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        chosen = selected(manifests, one["spec"]["selector"])
        assert [c["metadata"]["name"] for c in chosen] == [one["metadata"]["name"]]
    for one in of_kind(manifests, "Service"):
        chosen = selected(manifests, {"matchLabels": one["spec"]["selector"]})
        assert [c["metadata"]["name"] for c in chosen] == [one["metadata"]["name"]]
    for one in of_kind(manifests, "Deployment"):
        for spread in pod_of(one)["topologySpreadConstraints"]:
            assert selects(spread["labelSelector"], pod_labels(one))


def test_every_service_has_all_that_belongs_to_it(manifests: list[Manifest]) -> None:
    for kind in (
        "Deployment",
        "Service",
        "ServiceAccount",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    ):
        assert set(SETTINGS) <= {one["metadata"]["name"] for one in of_kind(manifests, kind)}, kind
    for one in of_kind(manifests, "HorizontalPodAutoscaler"):
        target = one["spec"]["scaleTargetRef"]
        assert target["name"] in {d["metadata"]["name"] for d in of_kind(manifests, target["kind"])}
        assert one["spec"]["minReplicas"] <= one["spec"]["maxReplicas"]
    for deployment in of_kind(manifests, "Deployment"):
        assert "replicas" not in deployment["spec"], "the autoscaler owns the number"


def test_ports_resolve_by_name_and_are_those_the_service_listens_on(manifests: list[Manifest]) -> None:
    for service in of_kind(manifests, "Service"):
        (workload,) = selected(manifests, {"matchLabels": service["spec"]["selector"]})
        for port in service["spec"]["ports"]:
            assert ports_of(workload)[port["targetPort"]] == port["port"]
    for name in SETTINGS:
        (deployment,) = [d for d in of_kind(manifests, "Deployment") if d["metadata"]["name"] == name]
        environment = environment_of(manifests, name)
        assert ports_of(deployment) == {
            "http": int(environment["FOREWORD_PORT"]),
            "metrics": int(environment["FOREWORD_METRICS_PORT"]),
        }


def test_urls_between_services_name_a_service_and_its_port(manifests: list[Manifest]) -> None:
    known = {
        (service["metadata"]["name"], port["port"])
        for service in of_kind(manifests, "Service")
        for port in service["spec"]["ports"]
    }
    for name in SETTINGS:
        for value in environment_of(manifests, name).values():
            if found := re.fullmatch(r"(?:http|redis)://([a-z-]+):(\d+)(?:/0)?", value):
                assert (found[1], int(found[2])) in known, value
    for secret in of_kind(manifests, "Secret"):
        found = re.fullmatch(r"postgresql://\w+@([a-z-]+):(\d+)/\w+", secret["stringData"]["url"])
        assert found is not None, "a URL with a password must not be committed"
        assert (found[1], int(found[2])) in known


def test_probes_ask_routes_that_exist(manifests: list[Manifest]) -> None:
    app = Flask(__name__)
    health.init_app(app, {})
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    for deployment in of_kind(manifests, "Deployment"):
        (container,) = containers([deployment])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            get = container[probe]["httpGet"]
            assert get["path"] in routes
            assert ports_of(deployment)[get["port"]]
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_what_comes_in_leads_to_the_gateway(manifests: list[Manifest]) -> None:
    services = {
        s["metadata"]["name"]: {p["name"]: p["port"] for p in s["spec"]["ports"]}
        for s in of_kind(manifests, "Service")
    }
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                assert (service["name"], service["port"]["name"]) == ("gateway", "http")
                assert service["port"]["name"] in services[service["name"]]
    for route in of_kind(manifests, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert backend["port"] == services[backend["name"]]["http"]


def test_recommended_labels_are_on_everything_of_the_services(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        for labels in (workload["metadata"]["labels"], pod_labels(workload)):
            assert labels["app.kubernetes.io/part-of"] == "foreword"
            assert labels["app.kubernetes.io/name"]
            assert labels["app.kubernetes.io/component"]


def test_nothing_is_a_yaml_1_1_boolean_by_accident() -> None:
    """`on`, `no`, `y` and the like mean a boolean to some readers and a word to others."""
    for path in K8S.rglob("*.yaml"):
        for token in yaml.scan(path.read_text()):
            if isinstance(token, yaml.ScalarToken) and token.plain:
                assert token.value.lower() not in {"on", "off", "yes", "no", "y", "n"}, (path, token.value)
                assert not re.fullmatch(r"0\d+", token.value), f"{path}: {token.value} is octal to some"
