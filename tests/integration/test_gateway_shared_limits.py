"""Rate limits that all replicas share, in a real Redis: counted once, and felt by nobody when it is away."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.limits import RateLimiter, shared_storage
from servicekit.errors import TooManyRequests
from unit.gateway.gateway_fixtures import (
    Gateway,
    gateway,
    make_gateway,
    shared_gateway,
    stand_in,
    stand_in_server,
)
from unit.gateway.gateway_stand_in import StandIn

__all__ = ["gateway", "shared_gateway", "stand_in", "stand_in_server"]


class Redis:
    """A server of the test's own, which can be stopped and started at its port."""

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which("valkey-server") or shutil.which("redis-server")
        assert self._program, "A Redis is needed; install it (Debian: apt-get install redis-server)."
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        arguments = [
            "--port",
            str(self.port),
            "--save",
            "",
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self._folder),
        ]
        self._process = subprocess.Popen([str(self._program), *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def test_replicas_share_one_count(redis_server: Redis, stand_in: StandIn) -> None:
    settings = {"rate_limit": "5/minute", "rate_limit_storage_url": redis_server.url}
    first, second = make_gateway(stand_in, **settings), make_gateway(stand_in, **settings)
    for replica in (first, second):  # the same keys, as from one database
        replica.source.keys = list(first.own_keys)
        replica.parts.keys.refresh()
    answers = [
        (first, second)[number % 2].client.post("/v1/recommendations", json={}, headers=first.headers())
        for number in range(7)
    ]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    answer = answers[-1]
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.json["code"] == "rate_limited"


def test_a_placement_has_a_quota_over_all_keys(redis_server: Redis, stand_in: StandIn) -> None:
    limited = make_gateway(
        stand_in, placement_limits={"newsletter": "2/minute"}, rate_limit_storage_url=redis_server.url
    )

    def ask(placement: str, key: str) -> int:
        document = {"placement": placement}
        answer = limited.client.post("/v1/recommendations", json=document, headers=limited.headers(key))
        return int(answer.status_code)

    assert [ask("newsletter", key) for key in (limited.secret, limited.publishable, limited.secret)] == [
        200,
        200,
        429,
    ]
    assert ask("blog", limited.secret) == 200


def test_an_outage_is_counted_bridged_and_over_when_it_is_over(redis_server: Redis, gateway: Gateway) -> None:
    now = [100.0]
    limiter = RateLimiter(
        "3/minute", gateway.parts.metrics, shared_storage(redis_server.url), clock=lambda: now[0]
    )

    def hit(key: str) -> bool:
        with gateway.app.test_request_context("/"):
            try:
                limiter.check(key)
            except TooManyRequests:
                return False
            return True

    assert [hit("k") for _ in range(3)] == [True] * 3
    redis_server.stop()
    try:
        started = time.monotonic()
        # This replica alone goes on counting: nobody is let in without end.
        assert [hit("k") for _ in range(5)] == [True] * 3 + [False] * 2
        assert time.monotonic() - started < 2.0, "an outage must not hold requests up"
        assert gateway.count("rate_limiter_failures_total") == 1
    finally:
        redis_server.start()
    now[0] += 6.0
    assert [hit("fresh") for _ in range(4)] == [True] * 3 + [False]
    assert gateway.count("rate_limiter_failures_total") == 1


def test_valkey_is_the_same_by_another_name(redis_server: Redis, gateway: Gateway) -> None:
    storage = shared_storage(redis_server.url.replace("redis://", "valkey://"))
    limiter = RateLimiter("1/minute", gateway.parts.metrics, storage)
    with gateway.app.test_request_context("/"):
        limiter.check("by-valkey")
        with pytest.raises(TooManyRequests):
            limiter.check("by-valkey")
    assert gateway.count("rate_limiter_failures_total") == 0
