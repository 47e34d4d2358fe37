"""gunicorn's settings for every service: one worker with many threads, metrics on a port of their own.

Read by `gunicorn -c python:servicekit.gunicorn_conf <service>.wsgi:app`. The environment: `FOREWORD_PORT`,
`FOREWORD_METRICS_PORT`, `FOREWORD_THREADS`, `FOREWORD_GRACEFUL_SECONDS`, `FOREWORD_QUEUE_SECONDS`,
`FOREWORD_SLOW_SECONDS`, `WEB_CONCURRENCY`, `FOREWORD_BIND`.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from pathlib import Path
from typing import Any

# Requests are the parallelism here. OpenBLAS's threads spin while they wait for the next product of
# matrices, and NumPy hands them every small one: a recommendation took 165 ms of a processor instead of 26.
# Read when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
if workers > 1:
    # prometheus_client decides at its import whether processes share their figures.
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="foreword-metrics-"))

from servicekit import allocation, metrics  # noqa: E402 - see above
from servicekit.admission import Admission  # noqa: E402
from servicekit.gunicorn_logger import JsonLogger  # noqa: E402

allocation.few_arenas()
_address = os.environ.get("FOREWORD_BIND", "0.0.0.0")  # noqa: S104 - a container listens on all of its own
bind = f"{_address}:{os.environ.get('FOREWORD_PORT', '8080')}"
worker_class = "servicekit.gunicorn_worker.AdmittingWorker"
threads = int(os.environ.get("FOREWORD_THREADS", "16"))
timeout = 120
graceful_timeout = int(os.environ.get("FOREWORD_GRACEFUL_SECONDS", "20"))
keepalive = 75
# The most there is: an id of 200 characters outside ASCII takes 2,400 bytes in a path, and GET has lists.
limit_request_line = 8190
# A cache of one index and one model lives in the worker: recycling it would throw both away.
max_requests = 0
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# The RED metrics and our own log lines say what an access log would, without ids and addresses.
accesslog = None
errorlog = "-"
logger_class = JsonLogger
# A request that has waited longer for a thread is refused while all of them are at work.
_queue_seconds = float(os.environ.get("FOREWORD_QUEUE_SECONDS", "0.25"))
# Where more than one in fifty takes longer, fewer are taken on at once.
_slow_seconds = float(os.environ.get("FOREWORD_SLOW_SECONDS", "0.3"))
_metrics_port = int(os.environ.get("FOREWORD_METRICS_PORT", "9080"))


def when_ready(server: Any) -> None:
    if workers > 1:
        metrics.serve_all_workers(_metrics_port)
    server.log.info("listening on %s with %d worker(s), %d threads", bind, workers, threads)


def post_worker_init(worker: Any) -> None:
    # Modules and models live as long as the worker; a collector that walks through them again and again, as
    # thousands of short-lived objects make it do, costs a quarter of an import's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 10)
    own = worker.wsgi.extensions["metrics"]
    own.expect(
        (rule.rule, method)
        for rule in worker.wsgi.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    )
    own.threads.set(threads)
    own.limit.set(threads)
    rules = worker.wsgi.extensions.get("admission")
    if rules is not None:
        worker.on_refusal = own.refuse
        worker.admission = Admission(
            rules,
            threads=threads,
            most_wait_seconds=_queue_seconds,
            slow_seconds=_slow_seconds,
            clock=time.monotonic,
            on_limit=own.limit.set,
        )
    if workers == 1:
        # What waits for a thread is known to the pool's queue alone.
        own.queued.set_function(worker.tpool._work_queue.qsize)
        metrics.serve(own.registry, _metrics_port, _address)


def worker_exit(_: Any, worker: Any) -> None:
    """Let the application stop its background loops and flush what it holds."""
    close = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("close")
    if close is not None:
        close()
    tracer = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("tracer")
    if tracer is not None:
        tracer.close()


def child_exit(_: Any, worker: Any) -> None:
    if workers > 1:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
