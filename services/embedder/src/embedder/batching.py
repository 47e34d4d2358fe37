"""The micro-batcher: requests that wait at the same time share forward passes, fairly and bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from embedder.encoder import Encoder, Tokens, Vectors, token_counts
from embedder.meters import Meters
from embedder.passes import plan
from servicekit.errors import ForewordError, Unavailable, Unprocessable

# A pass smaller than this costs more in its fixed part than two cores gain by sharing the work.
_SMALLEST_SHARE = 256


@dataclass(eq=False, slots=True)
class Job:
    """The texts of one request on their way: `order` is by length, `taken` of them are in a pass or done."""

    tokens: Sequence[Tokens]
    counts: NDArray[np.int64]
    order: NDArray[np.intp]
    vectors: Vectors
    turn: int
    queued_at: float
    expires_at: float
    taken: int = 0
    missing: int = 0
    error: ForewordError | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _Text:
    job: Job
    index: int


class MicroBatcher:
    """`runners` threads take what waits, at most `token_budget` tokens a pass; none idles while a text waits.

    Fair queueing: a job's turn is the tokens served when it came plus its own, so a query of ten tokens
    overtakes an import of ten thousand, and the import still moves when queries never stop.
    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        encoder: Encoder,
        meters: Meters,
        *,
        token_budget: int,
        queue_tokens: int,
        runners: int,
        clock: Callable[[], float],
    ) -> None:
        self._encoder = encoder
        self._meters = meters
        self._budget = token_budget
        self._bound = queue_tokens
        self._runners = runners
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: list[Job] = []
        self._waiting_tokens = 0
        self._waiting_texts = 0
        self._served_tokens = 0
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, name=f"embedder-runner-{n}", daemon=True)
            for n in range(runners)
        ]
        for thread in self._threads:
            thread.start()

    def encode(self, tokens: Sequence[Tokens], *, expires_at: float) -> Vectors:
        """Wait for the vectors of these texts: float32 [n, dimension], in their order.

        Raises Unavailable (`queue_full`, `deadline_exceeded`, `shutting_down`, `encoder_failed`), or
        Unprocessable (`input_not_encodable`) for a text that the model fails on while it serves others.
        """
        job = self._queue(tokens, expires_at)
        if not job.done.wait(max(0.0, expires_at - self._clock())):
            self._fail(job, _too_late())
        if job.error is not None:
            if job.error.code == "deadline_exceeded":
                self._meters.refusals.labels("deadline_exceeded").inc()
            raise job.error
        return job.vectors

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Finish the passes under way, refuse the rest, end the threads."""
        with self._changed:
            self._closing = True
            waiting = list(self._jobs)
            self._changed.notify_all()
        for job in waiting:
            self._fail(job, _shutting_down())
        for thread in self._threads:
            thread.join(timeout_seconds)

    def _queue(self, tokens: Sequence[Tokens], expires_at: float) -> Job:
        counts = token_counts(tokens)
        total = int(counts.sum())
        vectors = np.empty((len(tokens), self._encoder.dimension), dtype=np.float32)
        with self._changed:
            if self._closing:
                raise _shutting_down()
            # One request may be larger than the bound: it is served when it does not have to wait.
            if self._jobs and self._waiting_tokens + total > self._bound:
                self._meters.refusals.labels("queue_full").inc()
                raise Unavailable("Too many texts wait to be encoded; try again shortly.", code="queue_full")
            job = Job(
                tokens,
                counts,
                np.argsort(counts, kind="stable"),
                vectors,
                self._served_tokens + total,
                self._clock(),
                expires_at,
                missing=len(tokens),
            )
            self._jobs.append(job)
            self._jobs.sort(key=lambda j: j.turn)
            self._count_waiting(len(tokens), total)
            self._changed.notify_all()
        return job

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                texts = self._take()
            for chosen in plan(token_counts([t.job.tokens[t.index] for t in texts]), self._budget):
                self._encode([texts[i] for i in chosen])

    def _take(self) -> list[_Text]:
        """The next texts, by turn; a runner leaves the others their share when little waits."""
        now = self._clock()
        for job in [j for j in self._jobs if j.expires_at <= now]:
            self._fail(job, _too_late())
        share = max(_SMALLEST_SHARE, self._waiting_tokens // self._runners + 1)
        room = min(self._budget, share)
        texts: list[_Text] = []
        for job in list(self._jobs):
            while job.taken < len(job.order):
                index = int(job.order[job.taken])
                count = int(job.counts[index])
                if texts and count > room:
                    return texts
                if not job.taken:
                    self._meters.stage_seconds.labels("queue").observe(now - job.queued_at)
                texts.append(_Text(job, index))
                job.taken += 1
                room -= count
                self._served_tokens += count
                self._count_waiting(-1, -count)
            self._jobs.remove(job)
        return texts

    def _encode(self, texts: Sequence[_Text]) -> None:
        alive = [text for text in texts if text.job.error is None]
        if not alive:
            return
        self._meters.batch_texts.observe(len(alive))
        try:
            with self._meters.stage_seconds.labels("infer").time():
                vectors = self._encoder.forward([t.job.tokens[t.index] for t in alive])
        except Exception as error:  # noqa: BLE001 - whatever a model raises must not end the runner
            self._meters.failed("pass", error)
            self._encode_apart(alive)
            return
        for text, vector in zip(alive, vectors, strict=True):
            self._finish(text, vector)

    def _encode_apart(self, texts: Sequence[_Text]) -> None:
        """One by one, so that a text the model fails on takes only its own request with it."""
        for text in texts:
            if text.job.error is not None:
                continue
            try:
                vector = self._encoder.forward([text.job.tokens[text.index]])[0]
            except Exception as error:  # noqa: BLE001 - see above
                self._meters.failed("text", error)
                self._fail(text.job, self._blame(text.index))
            else:
                self._finish(text, vector)

    def _blame(self, index: int) -> ForewordError:
        """Whether the text is at fault or the model: a model that still encodes a plain word is well."""
        try:
            self._encoder.encode(["well"])
        except Exception as error:  # noqa: BLE001 - see above
            self._meters.failed("model", error)
            return Unavailable("The model fails on every text.", code="encoder_failed")
        return Unprocessable(f"The model fails on input {index}.", code="input_not_encodable")

    def _finish(self, text: _Text, vector: NDArray[np.float32]) -> None:
        text.job.vectors[text.index] = vector
        with self._changed:
            text.job.missing -= 1
            finished = text.job.missing == 0
        if finished:
            text.job.done.set()

    def _fail(self, job: Job, error: ForewordError) -> None:
        """End a job early and give up what of it still waits."""
        with self._changed:
            if job.done.is_set():
                return
            job.error = error
            if job in self._jobs:
                self._jobs.remove(job)
                left = job.order[job.taken :]
                self._count_waiting(-len(left), -int(job.counts[left].sum()))
        job.done.set()

    def _count_waiting(self, texts: int, tokens: int) -> None:
        self._waiting_texts += texts
        self._waiting_tokens += tokens
        self._meters.waiting_texts.set(self._waiting_texts)
        self._meters.waiting_tokens.set(self._waiting_tokens)


def _too_late() -> Unavailable:
    return Unavailable("The vectors were not ready before the deadline.", code="deadline_exceeded")


def _shutting_down() -> Unavailable:
    return Unavailable("This embedder is shutting down; another one answers.", code="shutting_down")
