"""Which metrics and labels a PromQL query names."""

from __future__ import annotations

import re

_NAME = re.compile(
    r"(?<![\w:$])(?:foreword|process|kube|container)_[\w:]+|(?<![\w:$])slo:[\w:]+"
    r"|(?<![\w:.])(?:up|ALERTS)(?=[{\[ ])"
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
