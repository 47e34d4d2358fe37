"""The recommender's composition root: everything is built here, and nowhere at import."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask

from recommender.api import accounts as account_routes
from recommender.api import admission_rules, body_limit, problems
from recommender.api import assets as asset_routes
from recommender.api import buyers as buyer_routes
from recommender.api import email as email_routes
from recommender.api import library as library_routes
from recommender.api import placements as placement_routes
from recommender.api import recommendations as recommendation_routes
from recommender.api import signal_validation as signal_validation_routes
from recommender.api import signals as signal_routes
from recommender.api import webhooks as webhook_routes
from recommender.clients.embedder import EmbedderClient
from recommender.domain.ranking_reader import load_ranking_config
from recommender.domain.signal_kinds import load_signal_kinds
from recommender.domain.stage_config import load_stage_model
from recommender.extraction.sandbox import Sandbox
from recommender.lifecycle import Lifecycle
from recommender.service import catalogue_gauges
from recommender.service import webhooks as webhook_service
from recommender.service.account_standings import StandingCounter, StandingList
from recommender.service.asset_stages import AssetStageEstimator, load_prototypes
from recommender.service.assets import AssetService
from recommender.service.attribution import Attributor
from recommender.service.buyer_view import BuyerReader
from recommender.service.buyers import BuyerService
from recommender.service.calibration_keeper import CalibrationKeeper
from recommender.service.canary import Canary
from recommender.service.census import Census
from recommender.service.clock import Clock, system_clock
from recommender.service.coverage import CoverageService
from recommender.service.database_pulse import DatabasePulse
from recommender.service.email_slots import EmailSlotService
from recommender.service.embedding_backlog import EmbeddingBacklog
from recommender.service.encoding import AssetEncoder
from recommender.service.erasure import ErasureService
from recommender.service.estimates import StageEstimator
from recommender.service.folding import Folder
from recommender.service.folding_pace import FoldingPace
from recommender.service.following import CatalogueListener
from recommender.service.importing import AssetImport
from recommender.service.index_building import IndexBuilding
from recommender.service.insight import InsightService
from recommender.service.known_bots import is_bot
from recommender.service.learning_loop import BehaviourKeeper
from recommender.service.library import LibraryService
from recommender.service.meters import RecommenderMeters
from recommender.service.model_change import ModelChange
from recommender.service.placements import PlacementBook, PlacementService
from recommender.service.previewing import PreviewService
from recommender.service.recent_buyers import RecentBuyers
from recommender.service.recommendation_log import RecommendationLog
from recommender.service.recommendations import RecommendationService
from recommender.service.reconcile import Reconciler
from recommender.service.replica import CatalogueReplica
from recommender.service.search import SearchService
from recommender.service.signal_validation import SignalValidator
from recommender.service.signals import SignalService
from recommender.service.snapshots import SnapshotKeeper
from recommender.service.uploading import AssetUpload
from recommender.settings import RecommenderSettings
from recommender.store.migrate import require_known_schema
from recommender.store.partitions import Partitions
from servicekit import database, encoded_paths, flask_app, health, logs, tracing
from servicekit.background import BackgroundLoop
from servicekit.breaker import CircuitBreaker
from servicekit.http import ServiceClient
from servicekit.metrics import Metrics

_WEBHOOK_SECONDS = 1.0
_CANARY_SECONDS = 30.0
_PULSE_SECONDS = 2.0
_REMEMBER_SECONDS = 1.0


def create_app(
    settings: RecommenderSettings, *, clock: Clock = system_clock, background: bool = True
) -> Flask:
    """Build the service. With `background` False nothing runs beside the requests (tests step the loops)."""
    logs.configure("recommender", settings.log_level)
    metrics = Metrics.create("recommender", settings.version)
    app = flask_app.create(
        "recommender",
        metrics=metrics,
        max_body_bytes=body_limit.STREAMED_BYTES,
        tracer=tracing.start(
            "recommender", settings.version, settings.otlp_endpoint, settings.trace_sample_ratio
        ),
    )
    problems.init_app(app)
    encoded_paths.init_app(app, "id")

    kinds = load_signal_kinds(settings.signals_file.read_bytes() if settings.signals_file else None)
    stage_model = load_stage_model(settings.stages_file)
    ranking = load_ranking_config(settings.ranking_file.read_bytes() if settings.ranking_file else None)
    engine = database.create_engine(
        settings.database_url, pool_size=2 * settings.threads, application_name="foreword-recommender"
    )
    require_known_schema(engine)
    meters = RecommenderMeters(metrics, kinds.names)
    database.observe_pool(engine, meters.database_connections, meters.database_connections_limit)
    pulse = DatabasePulse(
        database.create_engine(
            settings.database_url, pool_size=1, application_name="foreword-recommender-pulse"
        )
    )
    meters.database_up.set_function(lambda: 0.0 if pulse.trouble else 1.0)

    breaker = CircuitBreaker(threshold=3, cooldown_seconds=1.0, clock=time.monotonic)
    upstream = ServiceClient("embedder", settings.embedder_url, timeout_seconds=30.0, breaker=breaker)
    encoder = AssetEncoder(EmbedderClient(upstream, timeout_seconds=30.0))
    replica = CatalogueReplica(
        engine,
        lambda prototypes: AssetStageEstimator(stage_model, prototypes),
        lambda model_id: load_prototypes(engine, encoder, stage_model, model_id),
        meters.catalogue,
        SnapshotKeeper(settings.snapshot_dir) if settings.snapshot_dir is not None else None,
        few=settings.index_exact_assets,
    )
    building = IndexBuilding(
        replica,
        meters.catalogue,
        exact_assets=settings.index_exact_assets,
        recall_floor=settings.index_recall_floor,
    )
    assets = AssetService(
        engine,
        replica,
        encoder,
        clock,
        meters.catalogue,
        embed_timeout_seconds=settings.embed_timeout_seconds,
    )
    sandbox = Sandbox(workers=settings.upload_workers)
    folder = Folder(engine, kinds, clock, meters.signals)
    reader = BuyerReader(folder, kinds)
    calibrations = CalibrationKeeper(engine, stage_model)
    estimator = StageEstimator(stage_model, kinds, calibrations.calibration)
    keeper = BehaviourKeeper(
        engine,
        kinds,
        ranking,
        clock,
        lambda: replica.snapshot.catalogue,
        meters.answers.learning_seconds,
        meters.answers.behaviour_events,
    )
    reconciler = Reconciler(
        engine,
        encoder,
        replica,
        ModelChange(engine, replica.estimator_of, clock),
        clock,
        EmbeddingBacklog(engine, clock, meters.catalogue.backlog, meters.catalogue.oldest_seconds),
        meters.catalogue.servable_seconds,
        keep_old_vectors_seconds=settings.keep_old_vectors_days * 86_400.0,
    )
    failures = meters.loop_failures

    def loop(name: str, step: Callable[[], object], seconds: float) -> BackgroundLoop:
        return BackgroundLoop(name, step, interval_seconds=seconds, failures=failures, service="recommender")

    pace = FoldingPace(time.monotonic)

    def fold_all() -> None:
        while pace.may_fold() and folder.fold_stale():
            pass

    folding = loop("fold", fold_all, settings.fold_seconds)
    following = loop("follow", replica.catch_up, settings.follow_seconds)
    loops = [
        folding,
        following,
        loop("reconcile", reconciler.step, settings.reconcile_seconds),
        loop("learn", keeper.refresh, settings.learn_seconds),
        loop("calibration", calibrations.refresh, settings.follow_seconds),
        loop("snapshot", replica.write_snapshot, settings.snapshot_seconds),
        loop("index", building.step, settings.reconcile_seconds),
    ]

    def recorded(events: int) -> None:
        pace.recorded(events)
        folding.wake()

    signals = SignalService(engine, Partitions(engine), kinds, clock, meters.signals, is_bot, recorded)
    recent = RecentBuyers(folder, reader)
    answers_log = RecommendationLog(engine, meters.answers.log_rows)
    recommendations = RecommendationService(
        engine,
        replica,
        reader,
        estimator,
        keeper,
        PlacementBook(),
        answers_log,
        encoder,
        ranking,
        clock,
        meters.answers,
        meters.catalogue.search_seconds,
    )
    placements = PlacementService(engine, replica, clock)
    buyers = BuyerService(engine, reader, estimator, replica, clock)
    search = SearchService(engine, replica, encoder, clock, meters.catalogue.search_seconds)
    uploads = AssetUpload(assets, sandbox)
    coverage = CoverageService(engine, replica, clock)
    attributor = Attributor(engine)
    canary = Canary(replica, clock, meters.catalogue.recall)
    standings = StandingCounter(engine, reader, estimator, buyers, clock)
    census = Census(
        engine,
        recent,
        estimator,
        coverage,
        clock,
        meters.business,
        every_seconds=settings.census_seconds,
    )
    loops += [
        loop("census", census.step, settings.census_seconds),
        loop("standings", standings.step, settings.standings_seconds),
        loop("canary", canary.step, _CANARY_SECONDS),
        loop("attribute", attributor.step, settings.reconcile_seconds),
        loop("remember", answers_log.flush, _REMEMBER_SECONDS),
    ]
    previews = PreviewService(
        engine,
        replica,
        encoder,
        recent,
        estimator,
        keeper,
        ranking,
        clock,
        embed_timeout_seconds=settings.embed_timeout_seconds,
    )

    insights = InsightService(engine, replica, recent, estimator, kinds, clock)
    imports = AssetImport(assets)
    app.register_blueprint(asset_routes.blueprint(assets, imports, uploads, previews, coverage, insights))
    app.register_blueprint(signal_routes.blueprint(signals, clock))
    validator = SignalValidator(engine, kinds, is_bot)
    app.register_blueprint(signal_validation_routes.blueprint(validator, clock))
    app.register_blueprint(recommendation_routes.blueprint(recommendations, estimator, search))
    app.register_blueprint(placement_routes.blueprint(placements, recommendations))
    app.register_blueprint(buyer_routes.blueprint(buyers, ErasureService(engine, buyers, clock)))
    app.register_blueprint(account_routes.blueprint(StandingList(engine)))
    app.register_blueprint(library_routes.blueprint(LibraryService(engine, replica), imports))
    app.register_blueprint(email_routes.blueprint(EmailSlotService(engine, recommendations, replica, clock)))
    webhooks = webhook_service.build(
        engine,
        reader,
        estimator,
        buyers,
        clock,
        meters.webhooks,
        allow_private=settings.webhook_allow_private,
        disable_after_seconds=settings.webhook_disable_seconds,
        wake=lambda: delivering.wake(),
    )
    delivering = loop("webhook_deliveries", webhooks.deliverer.step, _WEBHOOK_SECONDS)
    loops += [delivering, loop("webhook_changes", webhooks.changes.step, _WEBHOOK_SECONDS)]
    app.register_blueprint(webhook_routes.blueprint(webhooks.service))
    body_limit.init_app(app, settings.max_body_bytes)
    health.init_app(
        app,
        {
            "catalogue": lambda: health.PartStatus(replica.loaded, "loading" if not replica.loaded else ""),
            # Reported, not required, and never waited for: answers are made from memory while it is away.
            "database": lambda: health.PartStatus(not pulse.trouble, pulse.trouble, required=False),
            "embedder": lambda: health.PartStatus(not breaker.is_open, required=False),
        },
    )
    catalogue_gauges.show(meters.catalogue, replica)
    meters.upstream_up.labels("embedder").set_function(lambda: 0.0 if breaker.is_open else 1.0)
    lifecycle = Lifecycle(
        [replica.catch_up, keeper.refresh, calibrations.refresh],
        loop("pulse", pulse.step, _PULSE_SECONDS),
        loops,
        CatalogueListener(settings.database_url, following.wake),
        failures,
    )

    def close() -> None:
        lifecycle.stop()
        answers_log.close()
        sandbox.close()
        pulse.close()
        engine.dispose()

    app.extensions["admission"] = admission_rules.RULES
    app.extensions["close"] = close
    app.extensions["parts"] = {
        "engine": engine,
        "pulse": pulse,
        "replica": replica,
        "building": building,
        "reconciler": reconciler,
        "keeper": keeper,
        "calibrations": calibrations,
        "folder": folder,
        "webhooks": webhooks,
        "census": census,
        "standings": standings,
        "canary": canary,
        "answers_log": answers_log,
        "attributor": attributor,
    }
    if background:
        lifecycle.start()
    else:
        replica.catch_up()
    return app
