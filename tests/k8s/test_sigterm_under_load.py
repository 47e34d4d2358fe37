"""A pod is taken away under load: nothing is lost with the manifest's preStop, and something is without it.

What Kubernetes does is played out: at one moment it begins to take the pod out of the endpoints, which takes
a while to reach every node, and runs preStop; SIGTERM comes when preStop has ended.
"""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field

import orjson
import pytest

from k8s.service_processes import Running, Services, manifest_environment, pre_stop_seconds

pytestmark = pytest.mark.slow

SERVICES = ("gateway", "recommender", "embedder")
_ASKED = orjson.dumps({"user_id": "somebody", "count": 3})
_LONG_LINES = 1_000


@dataclass(slots=True)
class Load:
    """Requests on new connections, until the endpoints have forgotten the pod everywhere."""

    target: Running
    key: str
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    forgotten: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self.threads = [threading.Thread(target=self._ask_again_and_again) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def long_request(self) -> None:
        """One that is under way when SIGTERM comes."""
        thread = threading.Thread(target=self._ask_for_much)
        self.threads.append(thread)
        thread.start()

    def end(self) -> None:
        for thread in self.threads:
            thread.join(60)

    def _ask_again_and_again(self) -> None:
        while not self.forgotten.is_set():
            if self.target.name == "embedder":
                self._send("/v1/embeddings", orjson.dumps({"model": "hashing-384", "input": "doors"}))
            else:
                self._send("/v1/recommendations", _ASKED)
            time.sleep(0.01)

    def _ask_for_much(self) -> None:
        if self.target.name == "embedder":
            texts = [f"What {number} doors say of alarms" for number in range(2_000)]
            body = self._send("/v1/embeddings", orjson.dumps({"model": "hashing-384", "input": texts}))
            whole = body is not None and len(orjson.loads(body)["data"]) == len(texts)
        else:
            lines = (_ASKED + b"\n") * _LONG_LINES
            body = self._send("/v1/recommendations:batch", lines, "application/x-ndjson")
            whole = body is not None and len(body.splitlines()) == _LONG_LINES
        if not whole:
            self.failures.append("a long request was cut off")

    def _send(self, path: str, body: bytes, content_type: str = "application/json") -> bytes | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=60)
        try:
            headers = {
                "Content-Type": content_type,
                "Authorization": f"Bearer {self.key}",
                "Connection": "close",
            }
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(type(error).__name__)
            return None
        finally:
            connection.close()
        if response.status != 200:
            self.failures.append(f"status {response.status}")
            return None
        self.answered += 1
        return content


@pytest.fixture(scope="module")
def upstreams(services: Services) -> dict[str, str]:
    """Those that stay, so that each service that is taken away can be judged by itself."""
    embedder = services.start("embedder").wait_ready()
    recommender = services.start("recommender", FOREWORD_EMBEDDER_URL=embedder.url).wait_ready()
    return {"FOREWORD_EMBEDDER_URL": embedder.url, "FOREWORD_RECOMMENDER_URL": recommender.url}


def _taken_away(
    services: Services, upstreams: dict[str, str], key: str, *, pre_stop: float, endpoints_lag: float
) -> dict[str, Load]:
    """One of each service goes at the same moment, under load. → what its callers saw."""
    pods = [services.start(name, **upstreams) for name in SERVICES]
    loads = {pod.name: Load(pod.wait_ready(), key) for pod in pods}
    for load in loads.values():
        load.begin()
    time.sleep(1.0)
    began = time.monotonic()
    terminated = pre_stop <= endpoints_lag
    if terminated:
        time.sleep(pre_stop)
        for pod in pods:
            pod.terminate()
    time.sleep(max(0.0, endpoints_lag - (time.monotonic() - began)))
    if not terminated:
        for load in loads.values():
            load.long_request()
        time.sleep(0.2)
    for load in loads.values():
        load.forgotten.set()
    if not terminated:
        time.sleep(max(0.0, pre_stop - (time.monotonic() - began)))
        for pod in pods:
            pod.terminate()
    for load in loads.values():
        load.end()
    for pod in pods:
        pod.process.wait(float(manifest_environment(pod.name)["FOREWORD_GRACEFUL_SECONDS"]) + 10)
    return loads


def test_nothing_fails_with_the_pre_stop_of_the_manifests(
    services: Services, upstreams: dict[str, str], secret_key: str
) -> None:
    (pre_stop,) = {pre_stop_seconds(name) for name in SERVICES}
    loads = _taken_away(services, upstreams, secret_key, pre_stop=pre_stop, endpoints_lag=pre_stop - 0.5)
    assert {name: load.failures for name, load in loads.items()} == {name: [] for name in SERVICES}
    for name, load in loads.items():
        assert load.answered > 20, name
        assert load.target.process.returncode == 0, load.target.log.read_text()


def test_without_pre_stop_requests_fail(
    services: Services, upstreams: dict[str, str], secret_key: str
) -> None:
    loads = _taken_away(services, upstreams, secret_key, pre_stop=0.0, endpoints_lag=3.0)
    for name, load in loads.items():
        assert load.answered > 0
        assert load.failures, f"{name}: so the other test could not fail"
