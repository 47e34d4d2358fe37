"""The micro-batcher against the plain way: same vectors, shared passes, fair turns, bounded, fail apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from embedder.batching import MicroBatcher
from embedder.encoder import Tokens, Vectors
from embedder.hashing import HashingEncoder
from embedder.meters import Meters
from servicekit.errors import Unavailable, Unprocessable
from servicekit.metrics import Metrics


class GatedEncoder(HashingEncoder):
    """A hashing encoder whose passes wait for the gate, are remembered, and fail on texts named as poison."""

    def __init__(self, poison: Sequence[str] = ()) -> None:
        super().__init__(64)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.passes: list[list[int]] = []
        self._poison = {t.ids.tobytes() for t in self.tokenise(poison)}

    def forward(self, batch: Sequence[Tokens]) -> Vectors:
        self.entered.release()
        assert self.gate.wait(20)
        self.passes.append([tokens.count for tokens in batch])
        if any(tokens.ids.tobytes() in self._poison for tokens in batch):
            raise RuntimeError("poison")
        return super().forward(batch)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def batcher_of(
    encoder: HashingEncoder,
    *,
    budget: int = 1000,
    bound: int = 10_000,
    clock: Callable[[], float] | None = None,
) -> Iterator[tuple[MicroBatcher, Metrics]]:
    metrics = Metrics.create("embedder", "test")
    batcher = MicroBatcher(
        encoder,
        Meters(metrics),
        token_budget=budget,
        queue_tokens=bound,
        runners=1,
        clock=clock or time.monotonic,
    )
    try:
        yield batcher, metrics
    finally:
        batcher.close()


def words(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{n}" for n in range(count))


class Callers:
    """Requests in threads of their own; `ask` returns once the request is in the queue."""

    def __init__(self, batcher: MicroBatcher, metrics: Metrics, encoder: HashingEncoder) -> None:
        self._batcher, self._metrics, self._encoder = batcher, metrics, encoder
        self._pool = ThreadPoolExecutor(16)

    def waiting(self) -> float:
        return self._metrics.registry.get_sample_value("foreword_embedder_queue_depth_texts") or 0.0

    def ask(self, *texts: str, expires_at: float = 1e9) -> Future[Vectors]:
        before = self.waiting()
        future = self._pool.submit(self._batcher.encode, self._encoder.tokenise(texts), expires_at=expires_at)
        self.until(lambda: self.waiting() >= before + len(texts) or future.done())
        return future

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(20_000):
            if condition():
                return
            time.sleep(0.001)
        raise AssertionError("did not happen in 20 s")


@contextmanager
def held(encoder: GatedEncoder, batcher: MicroBatcher, metrics: Metrics) -> Iterator[Callers]:
    """The runner is busy with a first text, so that all that is asked inside waits; leaving lets it go on."""
    callers = Callers(batcher, metrics, encoder)
    encoder.gate.clear()
    first = callers._pool.submit(batcher.encode, encoder.tokenise(["first"]), expires_at=1e9)
    assert encoder.entered.acquire(timeout=20)
    callers.until(lambda: callers.waiting() == 0)
    yield callers
    encoder.gate.set()
    first.result(20)


def test_vectors_are_those_of_the_plain_way_in_the_order_asked() -> None:
    encoder = HashingEncoder(64)
    texts = [words(n % 17 + 1, f"w{n}") for n in range(200)]
    with batcher_of(encoder, budget=64) as (batcher, _):
        vectors = batcher.encode(encoder.tokenise(texts), expires_at=1e9)
    np.testing.assert_allclose(vectors, encoder.encode(texts), atol=1e-6)


def test_requests_that_wait_together_share_a_pass_and_each_gets_its_own() -> None:
    encoder = GatedEncoder()
    with batcher_of(encoder) as (batcher, metrics):
        with held(encoder, batcher, metrics) as callers:
            futures = {n: callers.ask(f"alpha{n}", f"beta{n}") for n in range(8)}
        for n, future in futures.items():
            np.testing.assert_allclose(
                future.result(20), HashingEncoder(64).encode([f"alpha{n}", f"beta{n}"]), atol=1e-6
            )
    assert [len(texts) for texts in encoder.passes] == [1, 16]


def test_a_query_overtakes_an_import_but_the_import_is_not_starved() -> None:
    encoder = GatedEncoder()
    with batcher_of(encoder, budget=100) as (batcher, metrics):
        with held(encoder, batcher, metrics) as callers:
            bulk = callers.ask(*[words(50, f"bulk{n}") for n in range(10)])
            query = callers.ask("one short query")
        query.result(20)
        bulk.result(20)
    assert encoder.passes[1] == [3], "the query has the first turn, and is not padded to fifty tokens"
    assert sum(len(texts) for texts in encoder.passes[1:]) == 11


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    encoder = GatedEncoder()
    with batcher_of(encoder, bound=10) as (batcher, metrics):
        with held(encoder, batcher, metrics) as callers:
            waiting = callers.ask(words(8))
            with pytest.raises(Unavailable) as refused:
                batcher.encode(encoder.tokenise([words(3)]), expires_at=1e9)
            assert refused.value.code == "queue_full"
            assert int(refused.value.headers["Retry-After"]) >= 1
        assert waiting.result(20).shape == (1, 64)
        assert (
            metrics.registry.get_sample_value("foreword_embedder_refusals_total", {"reason": "queue_full"})
            == 1
        )


def test_a_request_larger_than_the_bound_is_served_when_nothing_waits() -> None:
    encoder = HashingEncoder(64)
    with batcher_of(encoder, bound=5) as (batcher, _):
        assert batcher.encode(encoder.tokenise([words(50)]), expires_at=1e9).shape == (1, 64)


def test_work_nobody_waits_for_is_dropped_before_a_pass() -> None:
    encoder, clock = GatedEncoder(), Clock()
    with batcher_of(encoder, clock=clock) as (batcher, metrics):
        with held(encoder, batcher, metrics) as callers:
            late = callers.ask(words(7), expires_at=clock.now + 60)
            in_time = callers.ask(words(5), expires_at=clock.now + 1e6)
            clock.now += 61
        assert in_time.result(20).shape == (1, 64)
        with pytest.raises(Unavailable) as dropped:
            late.result(20)
        assert callers.waiting() == 0
    assert dropped.value.code == "deadline_exceeded"
    assert encoder.passes == [[1], [5]]


def test_a_deadline_that_has_passed_answers_at_once() -> None:
    encoder = GatedEncoder()
    with batcher_of(encoder) as (batcher, metrics), held(encoder, batcher, metrics) as callers:
        with pytest.raises(Unavailable) as refused:
            batcher.encode(encoder.tokenise(["late"]), expires_at=0.0)
        assert refused.value.code == "deadline_exceeded"
        assert callers.waiting() == 0


def test_a_poison_text_fails_its_own_request_alone() -> None:
    encoder = GatedEncoder(poison=["poison"])
    with batcher_of(encoder) as (batcher, metrics):
        with held(encoder, batcher, metrics) as callers:
            healthy = callers.ask("good", "fine")
            poisoned = callers.ask("good", "poison")
            neighbour = callers.ask("sound")
        np.testing.assert_allclose(healthy.result(20), HashingEncoder(64).encode(["good", "fine"]), atol=1e-6)
        assert neighbour.result(20).shape == (1, 64)
        with pytest.raises(Unprocessable) as failed:
            poisoned.result(20)
        assert failed.value.code == "input_not_encodable"
        assert "input 1" in failed.value.detail
        assert batcher.encode(encoder.tokenise(["later"]), expires_at=1e9).shape == (1, 64)


def test_a_model_that_fails_on_everything_is_not_blamed_on_the_text() -> None:
    encoder = GatedEncoder(poison=["text", "well"])
    with batcher_of(encoder) as (batcher, _), pytest.raises(Unavailable) as failed:
        batcher.encode(encoder.tokenise(["text"]), expires_at=1e9)
    assert failed.value.code == "encoder_failed"


def test_closing_refuses_what_waits_and_what_comes() -> None:
    encoder = GatedEncoder()
    with batcher_of(encoder) as (batcher, metrics):
        with held(encoder, batcher, metrics) as callers:
            waiting = callers.ask("waiting")
            closing = callers._pool.submit(batcher.close)
            with pytest.raises(Unavailable) as refused:
                waiting.result(20)
            assert refused.value.code == "shutting_down"
        closing.result(20)
        with pytest.raises(Unavailable) as too_late:
            batcher.encode(encoder.tokenise(["after"]), expires_at=1e9)
    assert too_late.value.code == "shutting_down"


@pytest.mark.slow
def test_many_threads_each_get_their_own() -> None:
    encoder = HashingEncoder(64)
    with batcher_of(encoder, budget=50) as (batcher, _), ThreadPoolExecutor(16) as pool:
        texts = [[words(n % 9 + 1, f"t{n}_{k}") for k in range(n % 5 + 1)] for n in range(200)]
        futures = [pool.submit(batcher.encode, encoder.tokenise(t), expires_at=1e9) for t in texts]
        for asked, future in zip(texts, futures, strict=True):
            np.testing.assert_allclose(future.result(20), encoder.encode(asked), atol=1e-6)
