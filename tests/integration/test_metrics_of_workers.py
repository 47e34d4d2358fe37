"""Metrics of a service that runs two workers: their sum, which a worker that dies does not take away."""

from __future__ import annotations

import json
import re
import time
import urllib.request

import psutil

from integration.embedder_process import Server, running

_REQUESTS = "foreword_embedder_http_requests_total"


def _embed(server: Server, times: int) -> None:
    for _ in range(times):
        body = json.dumps({"input": "one text"}).encode()
        request = urllib.request.Request(
            f"{server.url}/v1/embeddings", body, {"Content-Type": "application/json", "Connection": "close"}
        )
        assert urllib.request.urlopen(request, timeout=30).status == 200


def _answered(server: Server) -> float:
    with urllib.request.urlopen(f"{server.metrics_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(rf"^{_REQUESTS}{{(.*)}} (\S+)$", text, re.MULTILINE)
    return sum(float(value) for labels, value in found if 'status="2xx"' in labels and "embeddings" in labels)


def test_two_workers_count_together_and_one_that_dies_takes_nothing_away() -> None:
    with running(WEB_CONCURRENCY="2", FOREWORD_EMBEDDER_MODEL="hashing-384") as server:
        _embed(server, 30)
        assert _answered(server) == 30
        workers = psutil.Process(server.process.pid).children()
        assert len(workers) == 2
        workers[0].kill()
        deadline = time.monotonic() + 30
        while len(psutil.Process(server.process.pid).children()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _answered(server) == 30
        _embed(server, 10)
        assert _answered(server) == 40
