"""What each alert fires on, and the neighbours on which it stays silent."""

from __future__ import annotations

from dataclasses import dataclass

_ROUTE = 'route="/v1/recommendations",method="POST"'
_HTTP = "foreword_gateway_http_requests_total"
_LATENCY = "foreword_gateway_http_request_duration_seconds"
_ANSWERS = "foreword_gateway_recommendations_total"


@dataclass(frozen=True, slots=True)
class Case:
    """Series as promtool writes them, a minute apart, and which alerts fire by then (a multiple of 5)."""

    name: str
    series: dict[str, str]
    minutes: int
    fires: tuple[str, ...]  # alert/severity


def traffic(bad: float, good: float, *, minutes: int) -> dict[str, str]:
    return {
        f'{_HTTP}{{namespace="f",{_ROUTE},status="5xx"}}': f"0+{bad}x{minutes}",
        f'{_HTTP}{{namespace="f",{_ROUTE},status="2xx"}}': f"0+{good}x{minutes}",
    }


def _within(name: str, labels: str, bound: str, under: float, all_of_them: float) -> dict[str, str]:
    """A histogram of which so many a minute are under a bound."""
    return {
        f'{name}_bucket{{namespace="f",{labels}le="{bound}"}}': f"0+{under}x90",
        f'{name}_count{{namespace="f",{labels}}}': f"0+{all_of_them}x90",
    }


def _slow(under: float, all_of_them: float) -> dict[str, str]:
    return _within(_LATENCY, f"{_ROUTE},", "0.1", under, all_of_them)


def _uploads(under: float, all_of_them: float) -> dict[str, str]:
    return _within("foreword_recommender_asset_servable_seconds", "", "10.0", under, all_of_them)


def _signals(bad: float, good: float) -> dict[str, str]:
    return {
        f'{_HTTP}{{namespace="f",route="/v1/batch",method="POST",status="5xx"}}': f"0+{bad}x90",
        f'{_HTTP}{{namespace="f",route="/v1/t",method="POST",status="2xx"}}': f"0+{good}x90",
    }


def _answers(degraded: float, full: float) -> dict[str, str]:
    return {
        f'{_ANSWERS}{{namespace="f",tier="popular",degraded="true"}}': f"0+{degraded}x90",
        f'{_ANSWERS}{{namespace="f",tier="personal",degraded="false"}}': f"0+{full}x90",
    }


def _index(assets: str, answers: str) -> dict[str, str]:
    return {
        'foreword_recommender_index_assets{namespace="f",instance="a"}': assets,
        f'{_ANSWERS}{{namespace="f",tier="static",degraded="false"}}': answers,
    }


def _pending(oldest: str, backlog: str = "0x60") -> dict[str, str]:
    return {
        'foreword_recommender_embedding_oldest_pending_seconds{namespace="f"}': oldest,
        'foreword_recommender_embedding_backlog_assets{namespace="f"}': backlog,
    }


def _revisions(one: str, other: str) -> dict[str, str]:
    name = "foreword_recommender_index_revision_number"
    return {f'{name}{{namespace="f",instance="a"}}': one, f'{name}{{namespace="f",instance="b"}}': other}


def _pool(service: str, used: str, limit: str = "16x60") -> dict[str, str]:
    prefix = f"foreword_{service}_database_connections"
    labels = '{namespace="f",instance="a"}'
    return {f"{prefix}_in_use{labels}": used, f"{prefix}_limit{labels}": limit}


def _threads(service: str, busy: str, queued: str = "0x60") -> dict[str, str]:
    prefix, labels = f"foreword_{service}_http", '{namespace="f",instance="a"}'
    return {
        f"{prefix}_requests_in_flight{labels}": busy,
        f"{prefix}_threads{labels}": "16x60",
        f"{prefix}_queued_connections{labels}": queued,
    }


def _upstream(service: str, upstream: str, up: str, away: str) -> dict[str, str]:
    return {
        f'foreword_{service}_upstream_up{{namespace="f",upstream="{upstream}"}}': up,
        f'foreword_{service}_upstream_request_duration_seconds_count{{namespace="f",outcome="away"}}': away,
    }


def _letters(letters: float, read: float) -> dict[str, str]:
    return {
        'foreword_recommender_dead_letters_total{namespace="f",code="id_invalid"}': f"0+{letters}x60",
        'foreword_recommender_signals_total{namespace="f",kind="page",outcome="read"}': f"0+{read}x60",
    }


def _clicks(shown: float, before: float, after: float) -> dict[str, str]:
    """Ten days by the hour; in the last two the click rate is another."""
    placed = 'namespace="f",placement="p",channel="web"'
    return {
        f"foreword_recommender_impressions_total{{{placed}}}": f"0+{shown}x240",
        f"foreword_recommender_clicks_total{{{placed}}}": f"0+{before}x200 {before * 200 + after}+{after}x40",
    }


def _memory(used: str) -> dict[str, str]:
    labels = 'namespace="f",pod="p",container="recommender"'
    return {
        f"container_memory_working_set_bytes{{{labels}}}": used,
        f'kube_pod_container_resource_limits{{{labels},resource="memory"}}': "1000x60",
    }


def _restarts(container: str, values: str) -> dict[str, str]:
    labels = f'namespace="f",pod="p",container="{container}"'
    return {f"kube_pod_container_status_restarts_total{{{labels}}}": values}


def _autoscaler(desired: str) -> dict[str, str]:
    labels = 'namespace="f",horizontalpodautoscaler="gateway"'
    return {
        f"kube_horizontalpodautoscaler_status_desired_replicas{{{labels}}}": desired,
        f"kube_horizontalpodautoscaler_spec_max_replicas{{{labels}}}": "6x90",
    }


def _one(name: str, values: str, labels: str = 'namespace="f"') -> dict[str, str]:
    return {f"{name}{{{labels}}}": values}


_PULSE = "foreword_recommender_database_up"
_AUTH = "foreword_gateway_auth_failures_total"
_UNCONFIRMED = "foreword_recommender_index_unconfirmed_seconds"
_RECALL = "foreword_recommender_index_recall_ratio"
_ENDPOINTS = "foreword_recommender_webhook_endpoints_disabled"
_JOB = "kube_job_status_failed"
_MIGRATION = 'namespace="f",job_name="migrate-recommender-v1"'
_LOOP_NAMES = {"gateway": "keys", "recommender": "follow", "embedder": "load_model"}
# Young systems have no three days of history: a fast burn is also a slow one by its average so far.
OBJECTIVE_CASES = [
    Case(
        "2% fail for 90 minutes",
        traffic(2, 98, minutes=90),
        90,
        ("ForewordAvailabilityBurn/page", "ForewordAvailabilityBurn/ticket"),
    ),
    Case("nothing fails", traffic(0, 100, minutes=90), 90, ()),
    Case("all fail, but hardly anybody asks", traffic(0.1, 0.0, minutes=90), 90, ()),
    Case("the budget is spent just as fast as it may", traffic(0.09, 99.91, minutes=90), 90, ()),
    Case(
        "twice as fast leaks for a ticket, not for a page",
        traffic(0.2, 99.8, minutes=90),
        90,
        ("ForewordAvailabilityBurn/ticket",),
    ),
    Case(
        "it was bad and is over: no page any more",
        {
            f'{_HTTP}{{namespace="f",{_ROUTE},status="5xx"}}': "0+2x60 120x60",
            f'{_HTTP}{{namespace="f",{_ROUTE},status="2xx"}}': "0+98x120",
        },
        120,
        ("ForewordAvailabilityBurn/ticket",),
    ),
    Case(
        "a fifth is slow",
        _slow(80, 100),
        90,
        ("ForewordRecommendationsSlow/page", "ForewordRecommendationsSlow/ticket"),
    ),
    Case("half a percent is slow", _slow(99.5, 100), 90, ()),
    Case(
        "a third of the uploads takes long",
        _uploads(2, 3),
        90,
        ("ForewordUploadsSlow/page", "ForewordUploadsSlow/ticket"),
    ),
    Case("every upload is quick", _uploads(3, 3), 90, ()),
    Case(
        "signals are refused, which counts as unavailable too",
        _signals(5, 95),
        90,
        (
            "ForewordAvailabilityBurn/page",
            "ForewordAvailabilityBurn/ticket",
            "ForewordSignalsRefused/page",
            "ForewordSignalsRefused/ticket",
        ),
    ),
    Case("signals are stored", _signals(0, 95), 90, ()),
    Case(
        "half of the answers are degraded",
        _answers(50, 50),
        90,
        ("ForewordAnswersDegraded/page", "ForewordAnswersDegraded/ticket"),
    ),
    Case("one in two hundred is degraded", _answers(0.5, 99.5), 90, ()),
]
CAUSE_CASES = [
    Case("an empty index under load", _index("0x30", "0+60x30"), 30, ("ForewordIndexEmpty/page",)),
    Case("an empty index, nobody asks", _index("0x30", "5x30"), 30, ()),
    Case("an index with an asset", _index("1x30", "0+60x30"), 30, ()),
    Case("an asset that waits on", _pending("0+60x30"), 30, ("ForewordAssetStuck/ticket",)),
    Case("an asset that has just come", _pending("120x30"), 30, ()),
    Case(
        "more come than are embedded",
        _pending("60x60", "0+20x60"),
        60,
        ("ForewordEmbedBacklogGrowing/ticket",),
    ),
    Case("a large backlog that falls", _pending("60x60", "2000-20x60"), 60, ()),
    Case("a few that wait", _pending("60x60", "0+1x60"), 60, ()),
    Case(
        "a recommender that does not follow",
        _one(_UNCONFIRMED, "0+30x30"),
        30,
        ("ForewordIndexStale/ticket",),
    ),
    Case("one that follows", _one(_UNCONFIRMED, "30x30"), 30, ()),
    Case("two revisions", _revisions("10+1x30", "10x30"), 30, ("ForewordRevisionSkew/ticket",)),
    Case("two that move on together", _revisions("10+1x30", "9+1x30"), 30, ()),
    Case("a recall that has fallen", _one(_RECALL, "0.8x30"), 30, ("ForewordRecallLow/ticket",)),
    Case("a recall that is high", _one(_RECALL, "0.98x30"), 30, ()),
    Case(
        "a recommender that is not reached",
        _upstream("gateway", "recommender", "1x10 0x20", "0+5x30"),
        30,
        ("ForewordRecommenderAway/page", "ForewordPartWasAway/none"),
    ),
    Case("it was away, and nobody asks", _upstream("gateway", "recommender", "0x30", "5x30"), 30, ()),
    Case("it answers", _upstream("gateway", "recommender", "1x30", "0+5x30"), 30, ()),
    Case(
        "a database that is away",
        _one(_PULSE, "1x10 0x20"),
        30,
        ("ForewordDatabaseAway/page", "ForewordPartWasAway/none"),
    ),
    Case(
        "a database that one of two reaches",
        _one(_PULSE, "0x30", 'namespace="f",instance="a"')
        | _one(_PULSE, "1x30", 'namespace="f",instance="b"'),
        30,
        (),
    ),
    Case(
        "an embedder that is away",
        _upstream("recommender", "embedder", "0x30", "0x30"),
        30,
        ("ForewordEmbedderAway/ticket", "ForewordPartWasAway/none"),
    ),
    Case("an embedder that answers", _upstream("recommender", "embedder", "1x30", "0x30"), 30, ()),
    *(
        Case(
            f"a loop of the {service} that fails on",
            _one(f"foreword_{service}_loop_failures_total", "0+2x40", f'namespace="f",loop="{loop}"'),
            40,
            ("ForewordLoopFailing/ticket",),
        )
        for service, loop in _LOOP_NAMES.items()
    ),
    *(
        Case(
            f"a loop of the {service} that failed a few times",
            _one(f"foreword_{service}_loop_failures_total", "0+1x3 3x37", f'namespace="f",loop="{loop}"'),
            40,
            (),
        )
        for service, loop in _LOOP_NAMES.items()
    ),
    *(
        Case(
            f"the {service}'s threads are busy",
            _threads(service, "16x60"),
            30,
            ("ForewordPoolSaturated/ticket",),
        )
        for service in _LOOP_NAMES
    ),
    *(
        Case(f"half of the {service}'s threads are busy", _threads(service, "8x60"), 30, ())
        for service in _LOOP_NAMES
    ),
    Case(
        "requests wait for a thread",
        _threads("embedder", "14x60", "3x60"),
        30,
        ("ForewordPoolSaturated/ticket",),
    ),
    *(
        Case(
            f"requests refused in the {service}",
            _one(f"foreword_{service}_http_refused_total", "0+60x60", 'namespace="f",reason="full"'),
            30,
            ("ForewordPoolSaturated/ticket",),
        )
        for service in ("gateway", "recommender")
    ),
    *(
        Case(
            f"imports in the {service} that wait for one another",
            _one(f"foreword_{service}_http_refused_total", "0+60x60", 'namespace="f",reason="bulk"'),
            30,
            (),
        )
        for service in ("gateway", "recommender")
    ),
    *(
        Case(
            f"no connection left in the {service}",
            _pool(service, "16x60"),
            30,
            ("ForewordPoolSaturated/ticket",),
        )
        for service in ("gateway", "recommender")
    ),
    *(
        Case(f"connections left in the {service}", _pool(service, "8x60"), 30, ())
        for service in ("gateway", "recommender")
    ),
    Case(
        "keys are tried",
        _one(_AUTH, "0x60 0+30x40", 'namespace="f",reason="unknown"'),
        100,
        ("ForewordAuthFailureSpike/ticket",),
    ),
    Case("as many failures as ever", _one(_AUTH, "0+30x100", 'namespace="f",reason="unknown"'), 100, ()),
    Case("a handful of failures", _one(_AUTH, "0x60 0+2x40", 'namespace="f",reason="missing"'), 100, ()),
    Case("a tenth makes no sense", _letters(10, 90), 40, ("ForewordDeadLetterSpike/ticket",)),
    Case("one in a hundred makes no sense", _letters(3, 297), 40, ()),
    Case("two letters of three, a quiet night", _letters(0.2, 0.1), 40, ()),
    Case("an endpoint is disabled", _one(_ENDPOINTS, "1x40"), 40, ("ForewordWebhooksStopped/ticket",)),
    Case("an endpoint is taken up again", _one(_ENDPOINTS, "1x5 0x35"), 40, ()),
    Case("a migration failed", _one(_JOB, "1x30", _MIGRATION), 30, ("ForewordMigrationFailed/ticket",)),
    Case("a migration went through", _one(_JOB, "0x30", _MIGRATION), 30, ()),
    Case("another firm's job failed", _one(_JOB, "1x30", 'namespace="f",job_name="backup"'), 30, ()),
    Case("memory near its limit", _memory("950x60"), 30, ("ForewordMemoryNearLimit/ticket",)),
    Case("memory far from its limit", _memory("700x60"), 30, ()),
    *(
        Case(f"the {name} restarts on", _restarts(name, "0+1x40"), 30, (f"ForewordRestartLoop/{severity}",))
        for name, severity in (("gateway", "page"), ("recommender", "page"), ("embedder", "ticket"))
    ),
    *(
        Case(f"the {name} restarted once", _restarts(name, "0x10 1x30"), 30, ())
        for name in ("gateway", "recommender", "embedder")
    ),
    Case("all replicas are wanted", _autoscaler("6x90"), 60, ("ForewordAutoscalerAtMaximum/ticket",)),
    Case("some replicas are left", _autoscaler("5x90"), 60, ()),
]
HOURLY_CASES = [
    Case("clicks fall by two thirds", _clicks(300, 30, 10), 230 * 60, ("ForewordClickRateLow/ticket",)),
    Case("clicks fall by a fifth", _clicks(300, 30, 24), 230 * 60, ()),
    Case("clicks fall, but few look", _clicks(30, 3, 1), 230 * 60, ()),
]
ALL_HEARD = {
    f'foreword_{service}_build_info{{namespace="f",version="0"}}': "1x300"
    for service in ("gateway", "recommender", "embedder")
}
