"""Writes the rules and dashboards from the objectives and the code: `python -m monitoring.generate`.

With `--check` nothing is written, and the exit status says whether the files are what the code makes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring import alerts, burn_rates, metric_table, objectives
from monitoring.boards.embedder import embedder
from monitoring.boards.ingest import ingest
from monitoring.boards.kubernetes import kubernetes
from monitoring.boards.marketing_and_it import marketing_and_it
from monitoring.boards.overview import overview
from monitoring.boards.recommender import recommender

ROOT = Path(__file__).parent
_NOTE = "# Written by `python -m monitoring.generate`; change slos.yaml or the code, not this file.\n"


def rule_groups() -> list[dict[str, Any]]:
    return [*burn_rates.groups(objectives.read()), *alerts.groups()]


def dashboards() -> dict[str, dashboard.Dashboard]:
    promised = objectives.read()
    return {
        "overview": overview(promised),
        "recommender": recommender(),
        "embedder": embedder(),
        "ingest": ingest(promised),
        "kubernetes": kubernetes(),
        "marketing-and-it": marketing_and_it(promised),
    }


def files() -> dict[Path, str]:
    """→ each generated file and what is in it."""
    groups = rule_groups()
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "foreword",
            "labels": {
                "app.kubernetes.io/name": "foreword-rules",
                "app.kubernetes.io/part-of": "foreword",
            },
        },
        "spec": {"groups": groups},
    }
    made = {
        ROOT / "kustomization.yaml": _kustomization(),
        ROOT / "rules" / "foreword.yaml": _NOTE + _yaml({"groups": groups}),
        ROOT / "prometheus-rule.yaml": _NOTE + _yaml(resource),
        metric_table.PAGE: metric_table.page(),
    }
    for name, built in dashboards().items():
        made[ROOT / "dashboards" / f"{name}.json"] = _json(built)
    return made


def _kustomization() -> str:
    resource = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["prometheus-rule.yaml"],
        "generatorOptions": {
            "disableNameSuffixHash": True,
            "labels": {
                "grafana_dashboard": "1",
                "app.kubernetes.io/name": "foreword-dashboards",
                "app.kubernetes.io/part-of": "foreword",
            },
        },
        "configMapGenerator": [
            {"name": f"foreword-dashboard-{name}", "files": [f"dashboards/{name}.json"]}
            for name in dashboards()
        ],
    }
    return (
        _NOTE
        + "# Taken in by k8s/components/monitoring; Grafana's sidecar loads what has the label.\n"
        + _yaml(resource)
    )


class _Plain(yaml.SafeDumper):
    """Writes a value twice rather than once with an anchor: easier to read, and kinder to other parsers."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


def _json(built: dashboard.Dashboard) -> str:
    document = json.loads(JSONEncoder(sort_keys=True).encode(built.build()))
    for number, panel in enumerate(document["panels"], start=1):
        panel["id"] = number
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    only_check = parser.parse_args().check
    stale = []
    for path, text in files().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT.parent))
        if not only_check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{path}: {'differs from what the code makes' if only_check else 'written'}\n")
    return 1 if only_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
