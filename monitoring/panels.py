"""The few kinds of panel that the dashboards are made of, and the frame around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from monitoring.queries import NS
from monitoring.runbooks import BASE_URL

CORES = "suffix: cores"
SERVICES = ("gateway", "recommender", "embedder")
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
_EXPLORE = (
    '/explore?left={"datasource":"${traces}","queries":[{"queryType":"traceql",'
    '"query":"{resource.service.name=~\\"foreword.*\\"}"}],"range":{"from":"${__from}","to":"${__to}"}}'
)
Panel = timeseries.Panel | stat.Panel


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and how its series are called in the legend."""

    expr: str
    legend: str = ""


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    lowest: float | None = 0,
    highest: float | None = None,
    traced: bool = False,
    runbooks: bool = False,
) -> timeseries.Panel:
    """Lines over time; `traced` shows exemplars and leads to traces, `runbooks` to an alert's runbook."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(_SOURCE)
        .height(8)
        .span(width)
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
    if lowest is not None:
        panel.min(lowest)
    if highest is not None:
        panel.max(highest)
    if traced:
        panel.data_links(
            [dashboard.DashboardLink("Traces").type(models.DashboardLinkType.LINK).url(_EXPLORE)]
        )
    if runbooks:
        address = f"{BASE_URL}/${{__field.labels.alertname}}.md"
        panel.data_links(
            [dashboard.DashboardLink("Runbook").type(models.DashboardLinkType.LINK).url(address)]
        )
    for number, query in enumerate(queries):
        panel.with_target(_target(query, number).exemplar(traced))
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


def board(
    title: str, uid: str, description: str, rows: Sequence[tuple[str, Sequence[Panel]]], *, since: str
) -> dashboard.Dashboard:
    """A dashboard with the variables that its panels use, links, and annotations for releases and models."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["foreword"])
        .time(since, "now")
        .refresh("1m")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(dashboard.DatasourceVariable("traces").label("Traces").type("tempo"))
        .with_variable(
            _choice("namespace", "Namespace", "label_values(foreword_gateway_build_info, namespace)")
        )
        .with_variable(
            _choice("service", "Service", f"label_values(process_start_time_seconds{{{NS}}}, job)")
        )
        .with_variable(
            _choice("pod", "Pod", f'label_values(process_start_time_seconds{{{NS},job=~"$service"}}, pod)')
        )
        .link(
            dashboard.DashboardLink("Foreword")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["foreword"])
            .as_dropdown(True)
            .keep_time(True)
        )
        .link(_link("Runbooks", BASE_URL))
        .link(_link("Traces", _EXPLORE))
        .annotation(_changes("Release", "blue", f"count by (version) (foreword_gateway_build_info{{{NS}}})"))
        .annotation(
            _changes("Model", "purple", f"count by (model) (foreword_recommender_index_model_info{{{NS}}})")
        )
    )
    for name, panels in rows:
        made.with_row(dashboard.Row(name))
        for panel in panels:
            made.with_panel(panel)
    return made


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(True)


def _changes(name: str, color: str, expr: str) -> dashboard.AnnotationQuery:
    """Marks the moments at which a series is new."""
    before = expr.replace("})", "} offset 2m)")
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(_SOURCE)
        .enable(True)
        .icon_color(color)
        .expr(f"{expr} unless {before}")
    )


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(_SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .multi(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
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
