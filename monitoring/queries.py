"""PromQL as the dashboards ask it: narrowed to the chosen namespace and pods, with the usual aggregations."""

from __future__ import annotations

NS = 'namespace=~"$namespace"'
# Without Kubernetes both labels are missing, and `.*` matches that too.
HERE = f'{NS},pod=~"$pod"'
# The rate of a counter, over a window that fits the time shown.
RATE = "[$__rate_interval]"


def series(name: str, where: str = "", scope: str = HERE) -> str:
    """`foreword_` is put before the name of one of ours."""
    ours = name if name.split("_")[0] in {"process", "kube", "container"} else f"foreword_{name}"
    return f"{ours}{{{scope}{',' + where if where else ''}}}"


def rate(name: str, by: str = "", where: str = "", window: str = RATE) -> str:
    """Per second, summed over replicas."""
    return f"sum{_by(by)}(rate({series(name, where)}{window}))"


def increase(name: str, by: str = "", where: str = "", window: str = "[1d]") -> str:
    """How many in a window, summed over replicas."""
    return f"sum{_by(by)}(increase({series(name, where)}{window}))"


def grown(name: str, by: str = "", where: str = "", window: str = "[1d]") -> str:
    """How much a total that every replica gives alike has grown: none of it twice, none lost by a restart."""
    total, each = series(name, where), "by (namespace, subject, from, to)"
    return (
        f"sum{_by(by)}(max {each} (max_over_time({total}{window}))"
        f" - min {each} (min_over_time({total}{window})))"
    )


def quantile(share: float, histogram: str, by: str = "", where: str = "", window: str = RATE) -> str:
    """The value that `share` of the observations stay below; nothing where there were none."""
    inner = f"sum by (le{', ' + by if by else ''}) (rate({series(histogram + '_bucket', where)}{window}))"
    return f"histogram_quantile({share}, {inner}) >= 0"


def over(part: str, whole: str) -> str:
    """A share; of nothing it is nothing, rather than "not a number"."""
    return f"{part} / ({whole} > 0)"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
