"""The recommender: its index, how answers are made, the buyers' profiles."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitoring.panels import Panel, Query, board, graph
from monitoring.queries import quantile, rate, series


def recommender() -> dashboard.Dashboard:
    return board(
        "Foreword: Recommender",
        "foreword-recommender",
        "The index, the ranking and its stages, the profiles.",
        [("Index", _index()), ("Ranking", _ranking()), ("Profiles and learning", _profiles())],
        since="now-3h",
    )


def _index() -> list[Panel]:
    revision = series("recommender_index_revision_number")
    return [
        graph(
            "Assets in each index",
            "Living assets that each replica can serve; replicas should agree.",
            "short",
            Query(series("recommender_index_assets"), "{{pod}}"),
        ),
        graph(
            "Revisions behind the newest",
            "How far a replica is behind the one that is furthest.",
            "short",
            Query(f"scalar(max({revision})) - {revision}", "{{pod}}"),
        ),
        graph(
            "Since the index was known to be new",
            "Time since a replica last knew that its index was as new as the database.",
            "s",
            Query(series("recommender_index_unconfirmed_seconds"), "{{pod}}"),
        ),
        graph(
            "From write to served",
            "95% of the changes are served by a replica within this time of their write.",
            "s",
            Query(quantile(0.95, "recommender_index_lag_seconds", window="[10m]"), "95%"),
            Query(quantile(0.5, "recommender_index_lag_seconds", window="[10m]"), "half"),
        ),
        graph(
            "Time to build",
            "95% of the builds take less: anew, or applying changes.",
            "s",
            Query(quantile(0.95, "recommender_index_build_seconds", "kind", window="[1h]"), "{{kind}}"),
        ),
        graph(
            "Time of a search",
            "A search for neighbours among all vectors. Small catalogues are scored whole and need none.",
            "s",
            Query(quantile(0.5, "recommender_index_search_seconds", window="[10m]"), "half"),
            Query(quantile(0.99, "recommender_index_search_seconds", window="[10m]"), "99%"),
        ),
        graph(
            "Recall of the index",
            "Share of the exact ten nearest that a search finds, asked by a canary.",
            "percentunit",
            Query(series("recommender_index_recall_ratio"), "{{pod}}"),
            highest=1,
        ),
        graph(
            "Models in the indexes",
            "Replicas by the model whose vectors they serve; two only while a new one is promoted.",
            "short",
            Query(f"count by (model) ({series('recommender_index_model_info')})", "{{model}}"),
        ),
        graph(
            "Assets without an embedding",
            "How many wait for the embedder; they are recommended by other marks until then.",
            "short",
            Query(f"max({series('recommender_embedding_backlog_assets')})", "assets"),
        ),
    ]


def _ranking() -> list[Panel]:
    return [
        graph(
            "Time of a request",
            "Time from reading a request for recommendations to its answer, in the recommender.",
            "s",
            *(
                Query(
                    quantile(
                        q, "recommender_http_request_duration_seconds", "", 'route="/v1/recommendations"'
                    ),
                    name,
                )
                for q, name in ((0.5, "half"), (0.95, "95%"), (0.99, "99%"))
            ),
            width=6,
            traced=True,
        ),
        graph(
            "Time by part",
            "95% are faster: reading the buyer, ranking, writing the answer down.",
            "s",
            Query(quantile(0.95, "recommender_answer_stage_seconds", "stage"), "{{stage}}"),
            width=6,
        ),
        graph(
            "Answers by tier",
            "How recommendations were made, a second.",
            "reqps",
            Query(rate("recommender_recommendations_total", "tier"), "{{tier}}"),
            width=6,
            stacked=True,
        ),
        graph(
            "Answers below full strength",
            "Without the database, or without any asset, a second.",
            "reqps",
            Query(rate("recommender_buyer_read_failures_total"), "without the database"),
            Query(rate("recommender_empty_recommendations_total"), "empty"),
            width=6,
        ),
    ]


def _profiles() -> list[Panel]:
    return [
        graph(
            "Profiles folded",
            "Profiles brought up to their signals, a second.",
            "cps",
            Query(rate("recommender_profile_folds_total"), "folded"),
        ),
        graph(
            "Time to fold",
            "95% of the blocks (one buyer in a request, up to 100 in the loop) take less.",
            "s",
            Query(quantile(0.95, "recommender_profile_fold_seconds"), "95%"),
        ),
        graph(
            "Signals learnt from",
            "How many signals the present behaviour was learnt from.",
            "short",
            Query(series("recommender_behaviour_events"), "{{pod}}"),
        ),
        graph(
            "Time to learn",
            "95% of the times that popularity and what is engaged with together were learnt took less.",
            "s",
            Query(quantile(0.95, "recommender_behaviour_learning_seconds", window="[1h]"), "95%"),
        ),
        graph(
            "Time to count buyers",
            "95% of the counts for the business figures took less.",
            "s",
            Query(quantile(0.95, "recommender_census_duration_seconds", window="[1h]"), "95%"),
        ),
        graph(
            "Age of the business figures",
            "Time since buyers were last counted by stage.",
            "s",
            Query(f"time() - {series('recommender_census_timestamp_seconds')}", "{{pod}}"),
        ),
    ]
