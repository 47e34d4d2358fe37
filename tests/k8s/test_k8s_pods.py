"""What pods may do, how they stop, what they run on and where they stand."""

from __future__ import annotations

import re
from pathlib import Path

from k8s.manifest_queries import SETTINGS, environment_of, of_kind, pod_of, workloads
from k8s.rendered_manifests import K8S, Manifest, containers, manifests_of

MARGIN_SECONDS = 10


def test_there_is_time_to_stop(manifests: list[Manifest]) -> None:
    for deployment in of_kind(manifests, "Deployment"):
        pod = pod_of(deployment)
        (container,) = containers([deployment])
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        graceful = int(environment_of(manifests, container["name"])["FOREWORD_GRACEFUL_SECONDS"])
        assert sleep >= 5, "endpoints take a while to forget a pod"
        assert sleep + graceful + MARGIN_SECONDS < pod["terminationGracePeriodSeconds"]
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_containers_may_do_nothing_they_need_not(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        pod = pod_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "RECOMMENDER_PORT=tcp://… would reach the environment"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["serviceAccountName"] in {
            s["metadata"]["name"] for s in of_kind(manifests, "ServiceAccount")
        }
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
    for account in of_kind(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    (namespace,) = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_our_pods_run_as_the_user_of_the_images(manifests: list[Manifest]) -> None:
    for name in SETTINGS:
        dockerfile = (K8S.parent / "services" / name / "Dockerfile").read_text()
        (deployment,) = [d for d in of_kind(manifests, "Deployment") if d["metadata"]["name"] == name]
        user = pod_of(deployment)["securityContext"]["runAsUser"]
        assert f"USER {user}:{user}\n" in dockerfile


def test_every_image_has_a_tag_that_stays(manifests: list[Manifest]) -> None:
    for container in containers(manifests):
        tag = container["image"].rpartition(":")[2]
        assert "/" not in tag, container["image"]
        assert tag not in ("", "latest", container["image"])


def test_production_runs_images_by_digest() -> None:
    for overlay in ("production", "production-cnpg"):
        ours = [c["image"] for c in containers(manifests_of(overlay)) if "foreword" in c["image"]]
        assert len(ours) >= 7
        for image in ours:
            assert re.fullmatch(r"[a-z.]+/foreword/[a-z]+@sha256:[0-9a-f]{64}", image), image


def test_production_spreads_three_replicas_over_three_zones() -> None:
    for overlay in ("production", "production-cnpg"):
        manifests = list(manifests_of(overlay))
        for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
            assert scaler["spec"]["minReplicas"] == 3
        for deployment in of_kind(manifests, "Deployment"):
            zones = pod_of(deployment)["topologySpreadConstraints"][0]
            assert zones["topologyKey"] == "topology.kubernetes.io/zone"
            assert (zones["whenUnsatisfiable"], zones["minDomains"]) == ("DoNotSchedule", 3)


def test_snapshots_are_written_where_a_volume_is(manifests: list[Manifest]) -> None:
    folder = environment_of(manifests, "recommender")["FOREWORD_SNAPSHOT_DIR"]
    (deployment,) = [d for d in of_kind(manifests, "Deployment") if d["metadata"]["name"] == "recommender"]
    mounts = {m["mountPath"]: m["name"] for m in containers([deployment])[0]["volumeMounts"]}
    (volume,) = [v for v in pod_of(deployment)["volumes"] if v["name"] == mounts[folder]]
    assert len({*volume} - {"name"}) == 1, "one kind of volume"


def test_a_gateways_keys_are_kept_in_memory(manifests: list[Manifest]) -> None:
    """They may come with the project's secret, which must reach no disk of a node."""
    file = Path(environment_of(manifests, "gateway")["FOREWORD_KEPT_KEYS_FILE"])
    (deployment,) = [d for d in of_kind(manifests, "Deployment") if d["metadata"]["name"] == "gateway"]
    mounts = {m["mountPath"]: m["name"] for m in containers([deployment])[0]["volumeMounts"]}
    (volume,) = [v for v in pod_of(deployment)["volumes"] if v["name"] == mounts[str(file.parent)]]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_threads_are_set_from_the_cpu_that_is_asked_for() -> None:
    manifests = list(manifests_of("production"))
    for name, variable in (
        ("gateway", "OMP_NUM_THREADS"),
        ("recommender", "OMP_NUM_THREADS"),
        ("embedder", "FOREWORD_EMBEDDER_THREADS"),
    ):
        (deployment,) = [d for d in of_kind(manifests, "Deployment") if d["metadata"]["name"] == name]
        asked = containers([deployment])[0]["resources"]["requests"]["cpu"]
        assert environment_of(manifests, name)[variable] == asked


def test_the_embedded_database_takes_every_replicas_connections() -> None:
    dev, production = list(manifests_of("dev")), list(manifests_of("production"))
    (postgres,) = of_kind(dev, "StatefulSet")
    (argument,) = [a for a in containers([postgres])[0]["args"] if a.startswith("max_connections=")]
    most = {
        h["metadata"]["name"]: h["spec"]["maxReplicas"] + 1
        for h in of_kind(production, "HorizontalPodAutoscaler")
    }
    threads = int(environment_of(dev, "recommender")["FOREWORD_THREADS"])
    # Two a thread, four to spare and one that listens; the gateway's pool is one and four to spare.
    needed = most["recommender"] * (2 * threads + 4 + 1) + most["gateway"] * (1 + 4)
    assert needed <= int(argument.partition("=")[2])
