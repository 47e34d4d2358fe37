"""The dashboard that marketing and IT share: the goals of both, side by side and in plain words."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.burn_rates import ERRORS
from monitoring.objectives import Objective
from monitoring.panels import NS, Query, board, figure, graph

_ANSWERS = f"foreword_gateway_recommendations_total{{{NS}}}"
# Where there were none, a share of them is nothing rather than "not a number".
_ALL_OF_A_DAY = f"(sum(increase({_ANSWERS}[1d])) > 0)"


def marketing_and_it(objectives: tuple[Objective, ...]) -> dashboard.Dashboard:
    made = board(
        "Foreword: Marketing and IT",
        "foreword-marketing-and-it",
        "One page for the content team and for those who run the system: what is reached, what carries it.",
        since="now-7d",
    )
    _reach(made)
    _content(made)
    _promises(made, objectives)
    return made


def _reach(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Reaching buyers"))
    made.with_panel(
        figure(
            "Recommendations, last 24 hours",
            "How often a site, an email or a colleague was told what to show.",
            "short",
            Query(f"sum(increase({_ANSWERS}[1d]))"),
            decimals=0,
        )
    )
    made.with_panel(
        figure(
            "Chosen for the person or account",
            "Share of the last day's recommendations that rest on what this buyer or their account did.",
            "percentunit",
            Query(
                f'sum(increase(foreword_gateway_recommendations_total{{{NS},tier=~"personal|account"}}[1d])) '
                f"/ {_ALL_OF_A_DAY}"
            ),
            decimals=0,
        )
    )
    made.with_panel(
        figure(
            "Links followed per 100 recommendations",
            "Clicks on recommended content in the last day, for each 100 times that content was recommended.",
            "short",
            Query(
                "100 * sum(increase(foreword_gateway_clicks_total"
                f'{{{NS},outcome=~"recorded|recorded_late"}}[1d])) / {_ALL_OF_A_DAY}'
            ),
            decimals=1,
        )
    )
    made.with_panel(
        figure(
            "Nothing to show",
            "Share of the last day's recommendations that came back empty: content is missing there.",
            "percentunit",
            Query(
                f"(sum(increase(foreword_gateway_recommendations_empty_total{{{NS}}}[1d])) or vector(0)) "
                f"/ {_ALL_OF_A_DAY}"
            ),
            decimals=1,
            bad_from=0.05,
        )
    )
    made.with_panel(
        graph(
            "Recommendations by placement",
            "Recommendations an hour, by where they were shown.",
            "short",
            [Query(f"sum by (placement) (increase({_ANSWERS}[1h]))", "{{placement}}")],
            width=12,
            stacked=True,
        )
    )
    made.with_panel(
        graph(
            "What buyers do",
            "Signals an hour that were taken in, by kind: visits, actions such as downloads, introductions.",
            "short",
            [
                Query(
                    "sum by (kind) "
                    f'(increase(foreword_gateway_signals_total{{{NS},outcome="accepted"}}[1h]))',
                    "{{kind}}",
                )
            ],
            width=12,
            stacked=True,
        )
    )


def _content(made: dashboard.Dashboard) -> None:
    made.with_row(dashboard.Row("Content"))
    made.with_panel(
        figure(
            "Assets in the index",
            "Pieces of content that the recommender knows.",
            "short",
            Query(f"min(foreword_recommender_index_assets{{{NS}}})"),
            decimals=0,
        )
    )
    made.with_panel(
        figure(
            "From upload to live",
            "95% of the last day's uploads could be recommended within this time.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (le) "
                f"(rate(foreword_recommender_asset_servable_seconds_bucket{{{NS}}}[1d])))"
            ),
            bad_from=10,
        )
    )
    made.with_panel(
        figure(
            "Assets still being read",
            "Assets whose meaning is not worked out yet; they are recommended by other marks until then.",
            "short",
            Query(f"max(foreword_recommender_embedding_backlog_assets{{{NS}}})"),
            decimals=0,
            bad_from=100,
        )
    )
    made.with_panel(
        figure(
            "Events that made no sense, last 24 hours",
            "Signals put aside because they could not be understood; a tracking setup may be wrong.",
            "short",
            Query(f"sum(increase(foreword_recommender_dead_letters_total{{{NS}}}[1d])) or vector(0)"),
            decimals=0,
            bad_from=100,
        )
    )


def _promises(made: dashboard.Dashboard, objectives: tuple[Objective, ...]) -> None:
    made.with_row(dashboard.Row("What IT promises, over 30 days"))
    for one, width in zip(objectives, (5, 5, 5, 5, 4), strict=True):
        made.with_panel(
            figure(
                one.title,
                f"The promise is {one.objective * 100:g}%. {one.description}",
                "percentunit",
                Query(f'1 - max({ERRORS}30d{{{NS},slo="{one.name}"}})'),
                width=width,
                decimals=2,
                good_from=one.objective,
            )
        )
