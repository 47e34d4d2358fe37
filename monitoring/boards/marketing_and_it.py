"""The dashboard that marketing and IT share: the goals of both, side by side and in plain words."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.boards.promises import promises
from monitoring.objectives import Objective
from monitoring.panels import Panel, Query, board, figure, graph
from monitoring.queries import grown, increase, over, quantile, series

_ANSWERS = increase("gateway_recommendations_total")


def marketing_and_it(objectives: tuple[Objective, ...]) -> dashboard.Dashboard:
    return board(
        "Foreword: Marketing and IT",
        "foreword-marketing-and-it",
        "One page for the content team and for those who run the system: what is reached, what carries it.",
        [
            ("Reached before the others", _early()),
            ("Recommendations", _recommendations()),
            ("Content", _content()),
            ("What IT promises, over 30 days", _promises(objectives)),
        ],
        since="now-7d",
    )


def _early() -> list[Panel]:
    opportunities = series("recommender_opportunities")
    early = series("recommender_opportunities", 'recognised="early"')
    near = series("recommender_stage_accounts", 'stage=~"consideration|decision"')
    moves = "recommender_stage_moves_total"
    return [
        figure(
            "Accounts reached early",
            "Of the opportunities of the last half year: share whose account was recognised 30 days before.",
            "percentunit",
            Query(over(f"max({early})", f"sum(max by (recognised) ({opportunities}))")),
            decimals=0,
        ),
        figure(
            "Lead time",
            "Half of these accounts were recognised at least so long before their opportunity opened.",
            "s",
            Query(f"max({series('recommender_lead_time_median_seconds')})"),
        ),
        figure(
            "Accounts that consider or decide",
            "Accounts whose people behave as those who compare or are about to buy.",
            "short",
            Query(f"sum(max by (stage) ({near}))"),
            decimals=0,
        ),
        figure(
            "Changes of stage, last 24 hours",
            "How often a buyer or account was seen to move from one stage to another.",
            "short",
            Query(grown(moves)),
            decimals=0,
        ),
        graph(
            "Accounts by stage",
            "Accounts of the buyers with the newest signals, by the stage they are shown at.",
            "short",
            Query(f"max by (stage) ({series('recommender_stage_accounts')})", "{{stage}}"),
            stacked=True,
        ),
        graph(
            "Buyers by stage",
            "Buyers with the newest signals, by the stage they are shown at.",
            "short",
            Query(f"max by (stage) ({series('recommender_stage_buyers')})", "{{stage}}"),
            stacked=True,
        ),
        graph(
            "Moves to a later stage",
            "Buyers and accounts an hour that were newly seen to consider, to decide or to have bought.",
            "short",
            Query(
                grown(moves, "subject, to", 'to=~"consideration|decision|customer"', "[1h]"),
                "{{subject}} to {{to}}",
            ),
        ),
    ]


def _in_words(label: str, query: str) -> str:
    """`demo_request` reads as `demo request`."""
    return f'label_replace({query}, "{label}", "$1 $2", "{label}", "(.+)_(.+)")'


def _recommendations() -> list[Panel]:
    clicks = increase("recommender_clicks_total", "placement")
    shown = increase("recommender_impressions_total", "placement")
    told = 'kind!~"impression|click|identify|group|alias"'
    doings = increase("recommender_signals_total", "kind", told, "[1h]")
    return [
        figure(
            "Recommendations, last 24 hours",
            "How often a site, an email or a colleague was told what to show.",
            "short",
            Query(_ANSWERS),
            decimals=0,
        ),
        figure(
            "Chosen for the person or account",
            "Share of the last day's recommendations that rest on what this buyer or their account did.",
            "percentunit",
            Query(over(increase("gateway_recommendations_total", "", 'tier=~"personal|account"'), _ANSWERS)),
            decimals=0,
        ),
        figure(
            "Followed, of those seen",
            "Share of the recommendations seen in the last day that were followed.",
            "percentunit",
            Query(over(increase("recommender_clicks_total"), increase("recommender_impressions_total"))),
            decimals=1,
        ),
        figure(
            "Nothing to show",
            "Share of the last day's recommendations that came back empty: content is missing there.",
            "percentunit",
            Query(over(increase("gateway_recommendations_empty_total"), _ANSWERS)),
            decimals=1,
            bad_from=0.05,
        ),
        graph(
            "Recommendations by placement",
            "Recommendations an hour, by where they were shown.",
            "short",
            Query(increase("gateway_recommendations_total", "placement", window="[1h]"), "{{placement}}"),
            stacked=True,
        ),
        graph(
            "Click rate by placement",
            "Share of the recommendations seen in a day that were followed, by where they were shown.",
            "percentunit",
            Query(over(clicks, shown), "{{placement}}"),
        ),
        graph(
            "Seen and followed",
            "Recommendations an hour that buyers saw, and that they followed.",
            "short",
            Query(increase("recommender_impressions_total", window="[1h]"), "seen"),
            Query(increase("recommender_clicks_total", window="[1h]"), "followed"),
        ),
        graph(
            "By channel",
            "Recommendations an hour for sites, mails, apps and sales.",
            "short",
            Query(increase("gateway_recommendations_total", "channel", window="[1h]"), "{{channel}}"),
            width=12,
            stacked=True,
        ),
        graph(
            "What buyers do",
            "What buyers did an hour, by kind: visits, downloads, webinars; what they were shown is above.",
            "short",
            Query(_in_words("kind", f"{doings} > 0"), "{{kind}}"),
            width=12,
            stacked=True,
        ),
    ]


def _content() -> list[Panel]:
    cells = series("recommender_coverage_cells")
    filled = series("recommender_coverage_cells", 'filled="true"')
    return [
        figure(
            "Assets in the index",
            "Pieces of content that the recommender knows.",
            "short",
            Query(f"min({series('recommender_index_assets')})"),
            decimals=0,
        ),
        figure(
            "Coverage",
            "Share of the pairs of stage and persona, and of stage and topic, for which there is an asset.",
            "percentunit",
            Query(over(f"sum(max by (by) ({filled}))", f"sum(max by (by, filled) ({cells}))")),
            decimals=0,
        ),
        figure(
            "From upload to live",
            "95% of the last day's uploads could be recommended within this time.",
            "s",
            Query(quantile(0.95, "recommender_asset_servable_seconds", window="[1d]")),
            bad_from=10,
        ),
        figure(
            "Assets still being read",
            "Assets whose meaning is not worked out yet; they are recommended by other marks until then.",
            "short",
            Query(f"max({series('recommender_embedding_backlog_assets')})"),
            decimals=0,
            bad_from=100,
        ),
        graph(
            "Assets by stage",
            "Assets that may be shown now, by the stage they fit best.",
            "short",
            Query(f"max by (stage) ({series('recommender_coverage_assets')})", "{{stage}}"),
            width=12,
            stacked=True,
        ),
        graph(
            "Signals that made no sense",
            "Signals an hour that could not be read; a tracking setup may be wrong.",
            "short",
            Query(increase("recommender_dead_letters_total", window="[1h]"), "set aside"),
            width=12,
        ),
    ]


def _promises(objectives: tuple[Objective, ...]) -> list[Panel]:
    return [
        *promises(objectives, "The promise is", decimals=2),
        graph(
            "Time until a recommendation",
            "Half, and all but one in a hundred, come faster; the promise is a tenth of a second.",
            "s",
            *(
                Query(
                    quantile(
                        q,
                        "gateway_http_request_duration_seconds",
                        "",
                        'route="/v1/recommendations"',
                        "[1h]",
                    ),
                    name,
                )
                for q, name in ((0.5, "half"), (0.99, "99 of 100"))
            ),
            width=12,
        ),
        graph(
            "Freshness",
            "How long the newest changes took until every replica served them (95%, an hour).",
            "s",
            Query(quantile(0.95, "recommender_index_lag_seconds", window="[1h]"), "to every replica"),
            Query(quantile(0.95, "recommender_asset_servable_seconds", window="[1h]"), "upload to live"),
            width=12,
        ),
    ]
