"""Which metrics the services define, with their labels, read out of their sources.

Read rather than imported: the recommender is built with a database only, and the embedder with torch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from servicekit.metrics import Metrics

SERVICES = ("gateway", "recommender", "embedder")
_SOURCES = Path(__file__).resolve().parents[3] / "services"
_KINDS = {"counter": (), "gauge": (), "histogram": ("_bucket", "_count", "_sum")}


def catalogue() -> dict[str, frozenset[str]]:
    """→ the name of each series → its own labels."""
    found: dict[str, frozenset[str]] = {"up": frozenset()}
    for service in SERVICES:
        found |= _shared(service)
        for path in sorted((_SOURCES / service / "src").rglob("*.py")):
            for name, labels in _defined(ast.parse(path.read_text(encoding="utf-8"))):
                found[f"foreword_{service}_{name}"] = labels
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for family in registry.collect():
        found |= {sample.name: frozenset() for sample in family.samples}
    return found


def _shared(service: str) -> dict[str, frozenset[str]]:
    """What `Metrics.create` makes for every service, asked of the real thing."""
    metrics = Metrics.create(service, "0")
    metrics.requests.labels("/", "GET", "2xx").inc()
    metrics.latency.labels("/", "GET").observe(0.0)
    return {
        sample.name: frozenset(sample.labels)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("foreword_") and not sample.name.endswith("_created")
    }


def _defined(tree: ast.AST) -> Iterator[tuple[str, frozenset[str]]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        kind = node.func.attr
        if kind not in _KINDS or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        name = str(node.args[0].value)
        labels: frozenset[str] = frozenset()
        if len(node.args) > 2:
            labels = frozenset(ast.literal_eval(node.args[2]))
        if kind == "histogram":
            for suffix in _KINDS[kind]:
                yield name + suffix, labels | ({"le"} if suffix == "_bucket" else set())
        else:
            yield name, labels


_NAME = re.compile(
    r"(?<![\w:$])(?:slo:)?(?:foreword|process)_[\w:]+|(?<![\w:$])slo:[\w:]+|(?<![\w:.])up(?=[{\[ ])"
)
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def names_in(query: str) -> set[str]:
    """→ the metrics that a PromQL query names; what stands in quotes is not one."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', '""', query)))


def labels_in(query: str) -> set[str]:
    """→ the labels that a PromQL query selects or groups by."""
    found = set()
    for _, inside in _SELECTOR.findall(re.sub(r'"[^"]*"', '""', query)):
        found |= {part.group(1) for part in re.finditer(r"(\w+)\s*(?:=~|!~|!=|=)", inside)}
    for inside in _GROUPING.findall(query):
        found |= {label.strip() for label in inside.split(",")}
    return found
