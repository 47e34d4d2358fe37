"""What a schema cannot see: that the manifests fit one another, the services' code, and our rules."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from flask import Flask

from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from k8s.rendered_manifests import (
    COMBINATIONS,
    K8S,
    OVERLAYS,
    Manifest,
    containers,
    label,
    manifests_of,
    template_of,
)
from recommender.settings import RecommenderSettings
from servicekit import gunicorn_conf, health
from servicekit.cli import build
from servicekit.settings import Settings

# The overlays, and each database with everything that may be added to it.
CASES = (*OVERLAYS, *(c for c in COMBINATIONS if "valkey" in c and "ingress" in c), COMBINATIONS[-1])
SETTINGS: dict[str, type[Settings]] = {
    "gateway": GatewaySettings,
    "recommender": RecommenderSettings,
    "embedder": EmbedderSettings,
}
# Read by gunicorn's configuration, or by libraries, rather than by the settings classes.
OTHER_VARIABLES = {"OMP_NUM_THREADS", "HF_HUB_OFFLINE", "FOREWORD_SECRETS_DIR", "FOREWORD_KEEP_MONTHS"} | set(
    re.findall(r"environ\.get\(\s*['\"]([A-Z_]+)['\"]", Path(gunicorn_conf.__file__ or "").read_text())
)
MARGIN_SECONDS = 10


@pytest.fixture(params=CASES, ids=label)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return list(manifests_of(request.param))


def _of(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in kinds]


def _workloads(manifests: list[Manifest]) -> list[Manifest]:
    return [one for one in manifests if template_of(one) is not None]


def _pod(workload: Manifest) -> Manifest:
    template = template_of(workload)
    assert template is not None
    return dict(template["spec"])


def _pod_labels(workload: Manifest) -> dict[str, str]:
    if workload["kind"] == "Cluster":  # its operator makes the pods, and labels them so
        return {"cnpg.io/cluster": workload["metadata"]["name"]}
    template = template_of(workload)
    assert template is not None
    return dict(template["metadata"]["labels"])


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    if any(rule["operator"] != "In" for rule in among):
        raise ValueError("only `In` is used")
    return all(labels.get(k) == v for k, v in wanted) and all(
        labels.get(rule["key"]) in rule["values"] for rule in among
    )


def _selected(manifests: list[Manifest], selector: Manifest) -> list[Manifest]:
    pods = [*_workloads(manifests), *_of(manifests, "Cluster")]
    return [one for one in pods if _selects(selector, _pod_labels(one))]


def _ports(workload: Manifest) -> dict[str, int]:
    if workload["kind"] == "Cluster":
        return {"postgres": 5432, "status": 8000, "metrics": 9187}
    found = containers([workload])[0].get("ports", [])
    return {port["name"]: port["containerPort"] for port in found}


def _environment(manifests: list[Manifest], name: str) -> dict[str, str]:
    (found,) = [m for m in _of(manifests, "ConfigMap") if m["metadata"]["name"] == f"{name}-settings"]
    return dict(found["data"])


def _walk(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(leaf for one in value.values() for leaf in _walk(one))]
    if isinstance(value, list):
        return [leaf for one in value for leaf in _walk(one)]
    return [value]


def test_selectors_match_the_pods_they_mean(manifests: list[Manifest]) -> None:
    for one in _of(manifests, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        chosen = _selected(manifests, one["spec"]["selector"])
        assert [c["metadata"]["name"] for c in chosen] == [one["metadata"]["name"]]
    for one in _of(manifests, "Service"):
        chosen = _selected(manifests, {"matchLabels": one["spec"]["selector"]})
        assert [c["metadata"]["name"] for c in chosen] == [one["metadata"]["name"]]
    for one in _of(manifests, "Deployment"):
        for spread in _pod(one)["topologySpreadConstraints"]:
            assert _selects(spread["labelSelector"], _pod_labels(one))


def test_every_service_has_all_that_belongs_to_it(manifests: list[Manifest]) -> None:
    for kind in (
        "Deployment",
        "Service",
        "ServiceAccount",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    ):
        assert set(SETTINGS) <= {one["metadata"]["name"] for one in _of(manifests, kind)}, kind
    for one in _of(manifests, "HorizontalPodAutoscaler"):
        target = one["spec"]["scaleTargetRef"]
        assert target["name"] in {d["metadata"]["name"] for d in _of(manifests, target["kind"])}
        assert one["spec"]["minReplicas"] <= one["spec"]["maxReplicas"]
    for deployment in _of(manifests, "Deployment"):
        assert "replicas" not in deployment["spec"], "the autoscaler owns the number"


def test_ports_resolve_by_name_and_are_those_the_service_listens_on(manifests: list[Manifest]) -> None:
    for service in _of(manifests, "Service"):
        (workload,) = _selected(manifests, {"matchLabels": service["spec"]["selector"]})
        for port in service["spec"]["ports"]:
            assert _ports(workload)[port["targetPort"]] == port["port"]
    for name in SETTINGS:
        (deployment,) = [d for d in _of(manifests, "Deployment") if d["metadata"]["name"] == name]
        environment = _environment(manifests, name)
        assert _ports(deployment) == {
            "http": int(environment["FOREWORD_PORT"]),
            "metrics": int(environment["FOREWORD_METRICS_PORT"]),
        }


def test_urls_between_services_name_a_service_and_its_port(manifests: list[Manifest]) -> None:
    known = {
        (service["metadata"]["name"], port["port"])
        for service in _of(manifests, "Service")
        for port in service["spec"]["ports"]
    }
    for name in SETTINGS:
        for value in _environment(manifests, name).values():
            if found := re.fullmatch(r"(?:http|redis)://([a-z-]+):(\d+)(?:/0)?", value):
                assert (found[1], int(found[2])) in known, value
    for secret in _of(manifests, "Secret"):
        found = re.fullmatch(r"postgresql://\w+@([a-z-]+):(\d+)/\w+", secret["stringData"]["url"])
        assert found is not None, "a URL with a password must not be committed"
        assert (found[1], int(found[2])) in known


def test_probes_ask_routes_that_exist(manifests: list[Manifest]) -> None:
    app = Flask(__name__)
    health.init_app(app, {})
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    for deployment in _of(manifests, "Deployment"):
        (container,) = containers([deployment])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            get = container[probe]["httpGet"]
            assert get["path"] in routes
            assert _ports(deployment)[get["port"]]
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_there_is_time_to_stop(manifests: list[Manifest]) -> None:
    for deployment in _of(manifests, "Deployment"):
        pod = _pod(deployment)
        (container,) = containers([deployment])
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        graceful = int(_environment(manifests, container["name"])["FOREWORD_GRACEFUL_SECONDS"])
        assert sleep >= 5, "endpoints take a while to forget a pod"
        assert sleep + graceful + MARGIN_SECONDS < pod["terminationGracePeriodSeconds"]
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_containers_may_do_nothing_they_need_not(manifests: list[Manifest]) -> None:
    for workload in _workloads(manifests):
        pod = _pod(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "RECOMMENDER_PORT=tcp://… would reach the environment"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["serviceAccountName"] in {s["metadata"]["name"] for s in _of(manifests, "ServiceAccount")}
        volumes = {volume["name"] for volume in pod.get("volumes", [])} | {
            claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])
        }
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"])
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert limits == {"memory": requests["memory"]}
            assert "cpu" in requests
    for account in _of(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    (namespace,) = _of(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_our_pods_run_as_the_user_of_the_images(manifests: list[Manifest]) -> None:
    for name in SETTINGS:
        dockerfile = (K8S.parent / "services" / name / "Dockerfile").read_text()
        (deployment,) = [d for d in _of(manifests, "Deployment") if d["metadata"]["name"] == name]
        user = _pod(deployment)["securityContext"]["runAsUser"]
        assert f"USER {user}:{user}\n" in dockerfile


def test_every_image_has_a_tag_that_stays(manifests: list[Manifest]) -> None:
    for container in containers(manifests):
        tag = container["image"].rpartition(":")[2]
        assert "/" not in tag, container["image"]
        assert tag not in ("", "latest", container["image"])


def test_every_setting_is_one_that_the_service_knows(manifests: list[Manifest]) -> None:
    for name, settings in SETTINGS.items():
        known = {settings.environment_name(field) for field in settings.model_fields} | OTHER_VARIABLES
        assert set(_environment(manifests, name)) <= known
        (deployment,) = [d for d in _of(manifests, "Deployment") if d["metadata"]["name"] == name]
        (container,) = containers([deployment])
        assert {entry["name"] for entry in container.get("env", [])} <= known


def test_settings_without_a_default_are_given(manifests: list[Manifest]) -> None:
    for name, settings in SETTINGS.items():
        needed = {
            settings.environment_name(f) for f, info in settings.model_fields.items() if info.is_required()
        }
        if name in _database_clients(manifests):
            assert _environment(manifests, name)["FOREWORD_SECRETS_DIR"] == "/etc/foreword/secrets"
            needed -= {"DATABASE_URL"}
        assert needed <= set(_environment(manifests, name))


def test_values_of_settings_are_accepted(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://foreword@postgres:5432/foreword")
    for name, settings in SETTINGS.items():
        with monkeypatch.context() as environment:
            for key, value in _environment(manifests, name).items():
                environment.setenv(key, value)
            settings.load()


def test_no_secret_stands_in_a_manifest(manifests: list[Manifest]) -> None:
    for one in manifests:
        assert not (one["kind"] == "Secret" and "data" in one)
        for leaf in _walk(one):
            if isinstance(leaf, str) and one["kind"] != "ConfigMap":
                assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", leaf), "a URL with a password"
                assert not re.search(r"fw_[ps]k_", leaf)
    for container in containers(manifests):
        for entry in container.get("env", []):
            assert not re.search(r"PASSWORD|_KEY|DATABASE_URL|_SECRET$", entry["name"]), "secrets are files"
            assert "valueFrom" not in entry


def test_everything_is_denied_that_no_policy_names(manifests: list[Manifest]) -> None:
    (deny,) = [p for p in _of(manifests, "NetworkPolicy") if p["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _flows(manifests: list[Manifest], direction: str, peers: str) -> set[tuple[str, str, int]]:
    """→ (from, to, port) for what a policy lets pass between pods of ours, seen from one end."""
    found = set()
    for policy in _of(manifests, "NetworkPolicy"):
        subjects = _selected(manifests, policy["spec"]["podSelector"])
        assert subjects, f"{policy['metadata']['name']} is about no pod"
        for rule in policy["spec"].get(direction, []):
            for peer in rule[peers]:
                if "namespaceSelector" in peer or "ipBlock" in peer:
                    continue
                others = _selected(manifests, peer["podSelector"])
                assert others, f"{policy['metadata']['name']} names a peer that is not there"
                for subject in subjects:
                    for other in others:
                        pair = (subject, other) if direction == "egress" else (other, subject)
                        names = tuple(one["metadata"]["name"].partition("-v0")[0] for one in pair)
                        for port in rule["ports"]:
                            assert port["port"] in _ports(pair[1]).values()
                            found.add((names[0], names[1], port["port"]))
    return found


def _database_clients(manifests: list[Manifest]) -> set[str]:
    """Whoever mounts the URL of the database."""
    return {
        one["metadata"]["name"].partition("-v0")[0]
        for one in _workloads(manifests)
        if any(
            item["path"] == "DATABASE_URL"
            for volume in _pod(one).get("volumes", [])
            for source in volume.get("projected", {}).get("sources", [])
            for item in source["secret"].get("items", [])
        )
    }


def test_each_flow_is_let_out_and_let_in(manifests: list[Manifest]) -> None:
    outward = _flows(manifests, "egress", "to")
    assert outward == _flows(manifests, "ingress", "from")
    names = {one["metadata"]["name"].partition("-v0")[0] for one in manifests}
    wanted = {
        ("gateway", "recommender", 8081),
        ("recommender", "embedder", 8082),
        ("re-embed", "embedder", 8082),
    }
    if "valkey" in names:
        wanted.add(("gateway", "valkey", 6379))
    if "email-batch" in names:
        wanted.add(("email-batch", "gateway", 8080))
    for database in {"postgres", "foreword-postgres"} & names:
        wanted |= {(client, database, 5432) for client in _database_clients(manifests)}
    if "foreword-postgres" in names:  # replication and the instances' status
        wanted |= {("foreword-postgres", "foreword-postgres", port) for port in (5432, 8000)}
    assert outward == wanted, "and nothing else"


def test_whoever_reads_the_database_url_may_reach_the_database(manifests: list[Manifest]) -> None:
    (policy,) = [
        p for p in _of(manifests, "NetworkPolicy") if p["metadata"]["name"] == "services-to-database"
    ]
    allowed = {
        one["metadata"]["name"].partition("-v0")[0]
        for one in _selected(manifests, policy["spec"]["podSelector"])
    }
    assert _database_clients(manifests) == allowed
    assert {"gateway", "recommender", "migrate-gateway", "migrate-recommender", "retention"} <= allowed
    assert "embedder" not in allowed


def test_every_secret_and_volume_that_is_mounted_is_made_or_asked_for(manifests: list[Manifest]) -> None:
    made = {one["metadata"]["name"] for one in _of(manifests, "Secret", "ExternalSecret")}
    made |= {f"{one['metadata']['name']}-app" for one in _of(manifests, "Cluster")}
    # What the operator makes by hand, as the component's first lines say.
    by_hand = {"foreword-database", "foreword-email-batch"}
    claims = {one["metadata"]["name"] for one in _of(manifests, "PersistentVolumeClaim")}
    for one in _workloads(manifests):
        for volume in _pod(one).get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                secret = source["secret"]
                assert secret.get("optional") or secret["name"] in made | by_hand, secret["name"]
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
    if _of(manifests, "Cluster"):
        assert not any("foreword-database" in str(_pod(w)) for w in _workloads(manifests))


def test_indexed_jobs_have_as_many_shares_as_completions(manifests: list[Manifest]) -> None:
    indexed = 0
    for cron in _of(manifests, "CronJob"):
        job = cron["spec"]["jobTemplate"]["spec"]
        assert cron["spec"]["concurrencyPolicy"] == "Forbid"
        if job.get("completionMode") != "Indexed":
            sleeps = cron["metadata"]["name"] == "calibration"  # until there are outcomes to learn from
            assert cron["spec"]["suspend"] is sleeps
            continue
        indexed += 1
        assert cron["spec"]["suspend"] is True, "it is started by somebody"
        (container,) = containers([cron])
        given = {entry["name"]: entry["value"] for entry in container["env"]}
        assert int(given["FOREWORD_SHARES"]) == job["completions"]
        assert job["parallelism"] <= job["completions"]
        assert _pod(cron)["restartPolicy"] == "Never", "what backoffLimitPerIndex asks for"
    assert indexed >= 1


def test_every_command_of_a_job_exists(manifests: list[Manifest]) -> None:
    known = build()
    context = click.Context(known)
    for one in _of(manifests, "Job", "CronJob"):
        (container,) = containers([one])
        assert container["command"][0] == "foreword"
        command = known.get_command(context, container["command"][1])
        assert command is not None, container["command"]
        options = {flag for parameter in command.params for flag in parameter.opts}
        assert {word for word in container["command"] if word.startswith("--")} <= options


def test_nothing_is_a_yaml_1_1_boolean_by_accident() -> None:
    """`on`, `no`, `y` and the like mean a boolean to some readers and a word to others."""
    for path in K8S.rglob("*.yaml"):
        for token in yaml.scan(path.read_text()):
            if isinstance(token, yaml.ScalarToken) and token.plain:
                assert token.value.lower() not in {"on", "off", "yes", "no", "y", "n"}, (path, token.value)
                assert not re.fullmatch(r"0\d+", token.value), f"{path}: {token.value} is octal to some"


def test_production_runs_images_by_digest() -> None:
    for overlay in ("production", "production-cnpg"):
        ours = [c["image"] for c in containers(manifests_of(overlay)) if "foreword" in c["image"]]
        assert len(ours) >= 7
        for image in ours:
            assert re.fullmatch(r"[a-z.]+/foreword/[a-z]+@sha256:[0-9a-f]{64}", image), image


def test_production_spreads_three_replicas_over_three_zones() -> None:
    for overlay in ("production", "production-cnpg"):
        manifests = list(manifests_of(overlay))
        for scaler in _of(manifests, "HorizontalPodAutoscaler"):
            assert scaler["spec"]["minReplicas"] == 3
        for deployment in _of(manifests, "Deployment"):
            zones = _pod(deployment)["topologySpreadConstraints"][0]
            assert zones["topologyKey"] == "topology.kubernetes.io/zone"
            assert (zones["whenUnsatisfiable"], zones["minDomains"]) == ("DoNotSchedule", 3)


def test_what_comes_in_leads_to_the_gateway(manifests: list[Manifest]) -> None:
    services = {
        s["metadata"]["name"]: {p["name"]: p["port"] for p in s["spec"]["ports"]}
        for s in _of(manifests, "Service")
    }
    for ingress in _of(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                assert (service["name"], service["port"]["name"]) == ("gateway", "http")
                assert service["port"]["name"] in services[service["name"]]
    for route in _of(manifests, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert backend["port"] == services[backend["name"]]["http"]


def test_snapshots_are_written_where_a_volume_is(manifests: list[Manifest]) -> None:
    folder = _environment(manifests, "recommender")["FOREWORD_SNAPSHOT_DIR"]
    (deployment,) = [d for d in _of(manifests, "Deployment") if d["metadata"]["name"] == "recommender"]
    mounts = {m["mountPath"]: m["name"] for m in containers([deployment])[0]["volumeMounts"]}
    (volume,) = [v for v in _pod(deployment)["volumes"] if v["name"] == mounts[folder]]
    assert len({*volume} - {"name"}) == 1, "one kind of volume"


def test_recommended_labels_are_on_everything_of_the_services(manifests: list[Manifest]) -> None:
    for workload in _workloads(manifests):
        for labels in (workload["metadata"]["labels"], _pod_labels(workload)):
            assert labels["app.kubernetes.io/part-of"] == "foreword"
            assert labels["app.kubernetes.io/name"]
            assert labels["app.kubernetes.io/component"]


def test_threads_are_set_from_the_cpu_that_is_asked_for() -> None:
    manifests = list(manifests_of("production"))
    for name, variable in (
        ("gateway", "OMP_NUM_THREADS"),
        ("recommender", "OMP_NUM_THREADS"),
        ("embedder", "FOREWORD_EMBEDDER_THREADS"),
    ):
        (deployment,) = [d for d in _of(manifests, "Deployment") if d["metadata"]["name"] == name]
        asked = containers([deployment])[0]["resources"]["requests"]["cpu"]
        assert _environment(manifests, name)[variable] == asked


def test_the_embedded_database_takes_every_replicas_connections() -> None:
    dev, production = list(manifests_of("dev")), list(manifests_of("production"))
    (postgres,) = _of(dev, "StatefulSet")
    (argument,) = [a for a in containers([postgres])[0]["args"] if a.startswith("max_connections=")]
    most = {
        h["metadata"]["name"]: h["spec"]["maxReplicas"] + 1
        for h in _of(production, "HorizontalPodAutoscaler")
    }
    threads = int(_environment(dev, "recommender")["FOREWORD_THREADS"])
    # Two a thread, four to spare and one that listens; the gateway's pool is one and four to spare.
    needed = most["recommender"] * (2 * threads + 4 + 1) + most["gateway"] * (1 + 4)
    assert needed <= int(argument.partition("=")[2])


def test_migrations_are_named_after_the_release(manifests: list[Manifest]) -> None:
    jobs = _of(manifests, "Job")
    assert len(jobs) == 2
    for job in jobs:
        version = job["metadata"]["labels"]["app.kubernetes.io/version"]
        assert job["metadata"]["name"].endswith("-v" + version.replace(".", "-"))
        (container,) = containers([job])
        assert container["command"] == ["foreword", "migrate"]
        if "@" not in container["image"]:
            assert container["image"].endswith(f":{version}")


def test_prometheus_may_reach_what_it_is_told_to_scrape() -> None:
    manifests = list(manifests_of("production"))
    (monitor,) = _of(manifests, "ServiceMonitor")
    (policy,) = [
        p for p in _of(manifests, "NetworkPolicy") if p["metadata"]["name"] == "prometheus-to-services"
    ]
    scraped = [
        s for s in _of(manifests, "Service") if _selects(monitor["spec"]["selector"], s["metadata"]["labels"])
    ]
    assert {s["metadata"]["name"] for s in scraped} == set(SETTINGS)
    let_in = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    wanted = {
        p["port"]
        for s in scraped
        for p in s["spec"]["ports"]
        if p["name"] == monitor["spec"]["endpoints"][0]["port"]
    }
    assert wanted == let_in
    assert {w["metadata"]["name"] for w in _selected(manifests, policy["spec"]["podSelector"])} == set(
        SETTINGS
    )


def test_the_public_web_is_all_that_is_outside(manifests: list[Manifest]) -> None:
    """Whatever a policy lets out by address leads to no private network, but for those who must."""
    for policy in _of(manifests, "NetworkPolicy"):
        blocks = [
            peer["ipBlock"]
            for rule in policy["spec"].get("egress", [])
            for peer in rule["to"]
            if "ipBlock" in peer
        ]
        if policy["metadata"]["name"] in {"services-to-database", "database-egress"}:
            continue
        for block in blocks:
            network = ipaddress.ip_network(block["cidr"])
            if network.version == 4:
                left_out = [ipaddress.ip_network(one) for one in block["except"]]
                for private in ("10.0.0.1", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"):
                    assert any(ipaddress.ip_address(private) in one for one in left_out), private
            else:
                assert ipaddress.ip_address("fd00::1") not in network
