"""Reading files from outside in processes of their own, so that no file can hurt the service.

A worker is kept from job to job, so a normal upload costs milliseconds and not an interpreter start. It
is replaced after an error that may have left it in a bad state, after a number of jobs, and when it dies.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from recommender.extraction.content import Extracted
from recommender.extraction.errors import Busy, Interrupted, ReaderFailed, TooLarge
from recommender.extraction.limits import MEBIBYTE, Limits
from recommender.extraction.reader_process import ReaderProcess
from recommender.extraction.wire import JobHead


@dataclass(frozen=True, slots=True)
class SandboxState:
    """Counts for metrics: workers `started`, of them `replaced`; `jobs` answered; `busy` right now."""

    started: int
    replaced: int
    jobs: int
    busy: int


class Sandbox:
    """`extract` as in `documents`, from any number of threads at once, within `limits`.

    At most `workers` processes run, each started when first needed. A caller waits up to `busy_wait_seconds`
    for a free one and then gets Busy.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        workers: int = 2,
        busy_wait_seconds: float = 10.0,
        jobs_per_worker: int = 200,
    ) -> None:
        self._limits = limits or Limits()
        self._busy_wait_seconds = busy_wait_seconds
        self._jobs_per_worker = jobs_per_worker
        self._workers = workers
        # Last in, first out: the warm worker is taken before one is started. None is a place without one.
        self._places: queue.LifoQueue[ReaderProcess | None] = queue.LifoQueue()
        for _ in range(workers):
            self._places.put(None)
        self._lock = threading.Lock()
        self._closed = False
        self._started = self._replaced = self._jobs = self._busy = 0

    def extract(self, data: bytes, filename: str, declared_type: str | None = None) -> Extracted:
        """Read one file; raises the tree of `errors` and nothing else."""
        if len(data) > self._limits.max_bytes:  # before it is copied into a pipe
            size, allowed = len(data) / MEBIBYTE, self._limits.max_bytes // MEBIBYTE
            raise TooLarge(f"The file has {size:,.0f} MB; up to {allowed} MB are read. Upload a smaller one.")
        process = self._take()
        keep = False
        try:
            if process is None or not process.is_alive():
                process = self._replacement(process)
            process.wait_until_ready()
            answer = process.run(data, JobHead(filename[-255:], declared_type, self._limits))
            keep = answer.fit and process.jobs_done < self._jobs_per_worker
        finally:
            self._give_back(process, keep)
        with self._lock:
            self._jobs += 1
        if answer.error is not None:
            raise answer.error
        if answer.extracted is None:
            raise ReaderFailed("The reader gave no usable answer; upload the file again.")
        return answer.extracted

    def warm_up(self) -> None:
        """Start one worker now and wait for it, so that the first upload does not."""
        process = self._take()
        keep = False
        try:
            if process is None or not process.is_alive():
                process = self._replacement(process)
            process.wait_until_ready()
            keep = True
        finally:
            self._give_back(process, keep)

    def state(self) -> SandboxState:
        with self._lock:
            return SandboxState(self._started, self._replaced, self._jobs, self._busy)

    def close(self) -> None:
        """Stop the idle workers; those at work are stopped when their job ends. Calling it twice is fine."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                process = self._places.get_nowait()
                if process is not None:
                    process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> ReaderProcess | None:
        if self._closed:
            raise Interrupted("The service is shutting down; upload the file again in a moment.")
        try:
            process = self._places.get(timeout=self._busy_wait_seconds)
        except queue.Empty:
            raise Busy("Many files are being read right now; upload this one again in a moment.") from None
        with self._lock:
            self._busy += 1
        return process

    def _replacement(self, dead: ReaderProcess | None) -> ReaderProcess:
        if dead is not None:
            dead.kill()
        with self._lock:
            self._started += 1
            self._replaced += dead is not None
        return ReaderProcess()

    def _give_back(self, process: ReaderProcess | None, keep: bool) -> None:
        """Return the place; a worker that is done for is replaced at once and warms up unwatched."""
        successor = process
        if process is not None and not keep:
            process.stop()
            successor = None
            if not self._closed:
                with contextlib.suppress(ReaderFailed):
                    successor = self._replacement(process)
        with self._lock:
            self._busy -= 1
            closed = self._closed
            if not closed:
                self._places.put(successor)
        if closed and successor is not None:
            successor.stop()
