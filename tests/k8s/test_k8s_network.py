"""Network policies: everything is denied, and each flow that there is stands at both of its ends."""

from __future__ import annotations

import ipaddress

from k8s.manifest_queries import SETTINGS, database_clients, of_kind, ports_of, selected, selects
from k8s.rendered_manifests import Manifest, manifests_of


def test_everything_is_denied_that_no_policy_names(manifests: list[Manifest]) -> None:
    (deny,) = [p for p in of_kind(manifests, "NetworkPolicy") if p["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _flows(manifests: list[Manifest], direction: str, peers: str) -> set[tuple[str, str, int]]:
    """→ (from, to, port) for what a policy lets pass between pods of ours, seen from one end."""
    found = set()
    for policy in of_kind(manifests, "NetworkPolicy"):
        subjects = selected(manifests, policy["spec"]["podSelector"])
        assert subjects, f"{policy['metadata']['name']} is about no pod"
        for rule in policy["spec"].get(direction, []):
            for peer in rule[peers]:
                if "namespaceSelector" in peer or "ipBlock" in peer:
                    continue
                others = selected(manifests, peer["podSelector"])
                assert others, f"{policy['metadata']['name']} names a peer that is not there"
                for subject in subjects:
                    for other in others:
                        pair = (subject, other) if direction == "egress" else (other, subject)
                        names = tuple(one["metadata"]["name"].partition("-v0")[0] for one in pair)
                        for port in rule["ports"]:
                            assert port["port"] in ports_of(pair[1]).values()
                            found.add((names[0], names[1], port["port"]))
    return found


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
        wanted |= {(client, database, 5432) for client in database_clients(manifests)}
    if "foreword-postgres" in names:  # replication and the instances' status
        wanted |= {("foreword-postgres", "foreword-postgres", port) for port in (5432, 8000)}
    assert outward == wanted, "and nothing else"


def test_whoever_reads_the_database_url_may_reach_the_database(manifests: list[Manifest]) -> None:
    (policy,) = [
        p for p in of_kind(manifests, "NetworkPolicy") if p["metadata"]["name"] == "services-to-database"
    ]
    allowed = {
        one["metadata"]["name"].partition("-v0")[0]
        for one in selected(manifests, policy["spec"]["podSelector"])
    }
    assert database_clients(manifests) == allowed
    assert {"gateway", "recommender", "migrate-gateway", "migrate-recommender", "retention"} <= allowed
    assert "embedder" not in allowed


def test_prometheus_may_reach_what_it_is_told_to_scrape() -> None:
    manifests = list(manifests_of("production"))
    (monitor,) = of_kind(manifests, "ServiceMonitor")
    (policy,) = [
        p for p in of_kind(manifests, "NetworkPolicy") if p["metadata"]["name"] == "prometheus-to-services"
    ]
    scraped = [
        s
        for s in of_kind(manifests, "Service")
        if selects(monitor["spec"]["selector"], s["metadata"]["labels"])
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
    assert {w["metadata"]["name"] for w in selected(manifests, policy["spec"]["podSelector"])} == set(
        SETTINGS
    )


def test_the_public_web_is_all_that_is_outside(manifests: list[Manifest]) -> None:
    """Whatever a policy lets out by address leads to no private network, but for those who must."""
    for policy in of_kind(manifests, "NetworkPolicy"):
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
