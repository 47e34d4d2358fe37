"""Settings and secrets in the manifests are those that the services know, need and accept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from k8s.manifest_queries import SETTINGS, database_clients, environment_of, of_kind, pod_of, walk, workloads
from k8s.rendered_manifests import Manifest, containers
from servicekit import gunicorn_conf

# Read by gunicorn's configuration, or by libraries, rather than by the settings classes.
OTHER_VARIABLES = {
    "OMP_NUM_THREADS",
    "HF_HUB_OFFLINE",
    "FOREWORD_SECRETS_DIR",
    "FOREWORD_KEEP_MONTHS",
    "FOREWORD_KEEP_EMAIL_DAYS",
} | set(re.findall(r"environ\.get\(\s*['\"]([A-Z_]+)['\"]", Path(gunicorn_conf.__file__ or "").read_text()))


def test_every_setting_is_one_that_the_service_knows(manifests: list[Manifest]) -> None:
    for name, settings in SETTINGS.items():
        known = {settings.environment_name(field) for field in settings.model_fields} | OTHER_VARIABLES
        assert set(environment_of(manifests, name)) <= known
        (deployment,) = [d for d in of_kind(manifests, "Deployment") if d["metadata"]["name"] == name]
        (container,) = containers([deployment])
        assert {entry["name"] for entry in container.get("env", [])} <= known


def test_settings_without_a_default_are_given(manifests: list[Manifest]) -> None:
    for name, settings in SETTINGS.items():
        needed = {
            settings.environment_name(f) for f, info in settings.model_fields.items() if info.is_required()
        }
        if name in database_clients(manifests):
            assert environment_of(manifests, name)["FOREWORD_SECRETS_DIR"] == "/etc/foreword/secrets"
            needed -= {"DATABASE_URL"}
        assert needed <= set(environment_of(manifests, name))


def test_values_of_settings_are_accepted(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://foreword@postgres:5432/foreword")
    for name, settings in SETTINGS.items():
        with monkeypatch.context() as environment:
            for key, value in environment_of(manifests, name).items():
                environment.setenv(key, value)
            settings.load()


def test_no_secret_stands_in_a_manifest(manifests: list[Manifest]) -> None:
    for one in manifests:
        assert not (one["kind"] == "Secret" and "data" in one)
        for leaf in walk(one):
            if isinstance(leaf, str) and one["kind"] != "ConfigMap":
                assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", leaf), "a URL with a password"
                assert not re.search(r"fw_[ps]k_", leaf)
    for container in containers(manifests):
        for entry in container.get("env", []):
            assert not re.search(r"PASSWORD|_KEY|DATABASE_URL|_SECRET$", entry["name"]), "secrets are files"
            assert "valueFrom" not in entry


def test_every_secret_and_volume_that_is_mounted_is_made_or_asked_for(manifests: list[Manifest]) -> None:
    made = {one["metadata"]["name"] for one in of_kind(manifests, "Secret", "ExternalSecret")}
    made |= {f"{one['metadata']['name']}-app" for one in of_kind(manifests, "Cluster")}
    # What the operator makes by hand, as the component's first lines say.
    by_hand = {"foreword-database", "foreword-email-batch"}
    claims = {one["metadata"]["name"] for one in of_kind(manifests, "PersistentVolumeClaim")}
    for one in workloads(manifests):
        for volume in pod_of(one).get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                secret = source["secret"]
                assert secret.get("optional") or secret["name"] in made | by_hand, secret["name"]
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
    if of_kind(manifests, "Cluster"):
        assert not any("foreword-database" in str(pod_of(w)) for w in workloads(manifests))
