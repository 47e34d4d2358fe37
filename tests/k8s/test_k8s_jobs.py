"""Jobs and CronJobs: shares, commands that exist, migrations of the release."""

from __future__ import annotations

import click

from k8s.manifest_queries import of_kind, pod_of
from k8s.rendered_manifests import Manifest, containers
from servicekit.cli import build


def test_indexed_jobs_have_as_many_shares_as_completions(manifests: list[Manifest]) -> None:
    indexed = 0
    for cron in of_kind(manifests, "CronJob"):
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
        assert pod_of(cron)["restartPolicy"] == "Never", "what backoffLimitPerIndex asks for"
    assert indexed >= 1


def test_every_command_of_a_job_exists(manifests: list[Manifest]) -> None:
    known = build()
    context = click.Context(known)
    for one in of_kind(manifests, "Job", "CronJob"):
        (container,) = containers([one])
        assert container["command"][0] == "foreword"
        command = known.get_command(context, container["command"][1])
        assert command is not None, container["command"]
        options = {flag for parameter in command.params for flag in parameter.opts}
        assert {word for word in container["command"] if word.startswith("--")} <= options


def test_migrations_are_named_after_the_release(manifests: list[Manifest]) -> None:
    jobs = of_kind(manifests, "Job")
    assert len(jobs) == 2
    for job in jobs:
        version = job["metadata"]["labels"]["app.kubernetes.io/version"]
        assert job["metadata"]["name"].endswith("-v" + version.replace(".", "-"))
        (container,) = containers([job])
        assert container["command"] == ["foreword", "migrate"]
        if "@" not in container["image"]:
            assert container["image"].endswith(f":{version}")
