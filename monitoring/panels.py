"""The few kinds of panel that the dashboards are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

# Every query is narrowed by it. Without Kubernetes the label is missing, and `.*` matches that too.
NS = 'namespace=~"$namespace"'
# The rate of a counter, over a window that fits the time shown.
RATE = "[$__rate_interval]"
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and how its series are called in the legend."""

    expr: str
    legend: str = ""


def graph(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    *,
    width: int = 8,
    stacked: bool = False,
    highest: float | None = None,
) -> timeseries.Panel:
    """Lines over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(_SOURCE)
        .height(8)
        .span(width)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if stacked else 10)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if highest is not None:
        panel.max(highest)
    for number, query in enumerate(queries):
        panel.with_target(_target(query, number))
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    width: int = 6,
    decimals: int | None = None,
    good_from: float | None = None,
    bad_from: float | None = None,
) -> stat.Panel:
    """One number, green or red where a threshold is given."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(_SOURCE)
        .height(5)
        .span(width)
        .no_value("nothing yet")
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(good_from, bad_from))
        .with_target(_target(query, 0).instant())
    )
    if decimals is not None:
        panel.decimals(decimals)
    return panel


def board(title: str, uid: str, description: str, *, since: str) -> dashboard.Dashboard:
    """An empty dashboard with the two variables that every panel uses."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["foreword"])
        .time(since, "now")
        .refresh("1m")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("namespace")
            .label("Namespace")
            .datasource(_SOURCE)
            .query("label_values(foreword_gateway_build_info, namespace)")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")
            .current(models.VariableOption(selected=True, text="All", value="$__all"))
        )
        .link(
            dashboard.DashboardLink("Foreword")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["foreword"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )


def _target(query: Query, number: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .ref_id(chr(ord("A") + number))
        .datasource(_SOURCE)
    )


def _thresholds(good_from: float | None, bad_from: float | None) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="text")]
    if good_from is not None:
        steps = [models.Threshold(value=None, color="red"), models.Threshold(value=good_from, color="green")]
    elif bad_from is not None:
        steps = [models.Threshold(value=None, color="green"), models.Threshold(value=bad_from, color="red")]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
